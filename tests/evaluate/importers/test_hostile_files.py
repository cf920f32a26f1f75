"""Files that are not what their name says: one paragraph that names the file and what would be right, or the items."""

import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from bitproof.errors import UsageError
from bitproof.evaluate.importers.load import load_items

ITEM = {"id": "a", "prompt": "Say a.", "grader": "contains", "gold": {"expected": ["a"]}}


def line(**changes: object) -> bytes:
    return json.dumps({**ITEM, **changes}).encode() + b"\n"


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("items.jsonl", "x" * 99)
    return buffer.getvalue()


FAULTS = {
    "latin1.jsonl": (line()[:-2] + b', "slice": "caf\xe9"}', r"is no text \(byte 96 is not UTF-8\)\. Save it as UTF-8"),
    "utf16.jsonl": (json.dumps(ITEM).encode("utf-16"), r"is UTF-16 \(byte 0 is not UTF-8\)\. Save it as UTF-8"),
    "zip.jsonl": (archive(), r"is a zip archive \(byte \d+ is not UTF-8\)\. Unpack it first"),
    "gzip.yaml": (b"\x1f\x8b\x08\x00" + b"abc" * 9, r"is compressed with gzip"),
    "zeros.jsonl": (b"\0" * 1000, r"line 1: is not JSON"),
    "empty.jsonl": (b"", r"holds no item"),
    "empty.json": (b"", r"is not JSON"),
    "empty.yaml": (b"", r"is empty"),
    "blank.jsonl": (b"\n\n   \n", r"holds no item"),
    "number.json": (b"12", r"entry 1: holds no mapping but 12"),
    "list.jsonl": (b'["a"]', r"line 1: holds no mapping but \['a'\]"),
    "duplicate.jsonl": (
        line() + line(prompt="b"),
        r"line 2: the id 'a' is taken by .*line 1\. Every item needs its own",
    ),
    "no-grader.jsonl": (line(grader=None), r"line 1: has no 'grader'\. There are: abstains, "),
    "grader.jsonl": (line(grader="contain"), r"line 1: there is no grader 'contain'\. Did you mean 'contains'\?"),
    "schema.jsonl": (line(schema={"type": "objekt"}), r"line 1: the schema is not valid at type: 'objekt'"),
    "reference.jsonl": (
        line(grader="json", gold={"value": 1}, schema={"$ref": "http://127.0.0.1:1/x.json"}),
        r"line 1: 'json' cannot grade it: the item's schema cannot be applied: .*http://127\.0\.0\.1:1/x\.json",
    ),
    "endless.jsonl": (
        line(grader="json", gold={"value": 1}, schema={"$ref": "#"}),
        r"'json' cannot grade it: .*recursion",
    ),
    "pattern.jsonl": (line(grader="form", gold={"pattern": "("}), r"its gold is not what 'form' reads: missing \)"),
    "types.jsonl": (line(max_tokens="12"), r"line 1: 'max_tokens' is str '12', not a whole number"),
    "long.jsonl": (line(max_tokens=10**12), r"'max_tokens' is 1000000000000\. It is from 1 to 1,000,000"),
    "nan.jsonl": (line(level=float("nan")), r"'level' is nan\. It is from"),
    "digits.jsonl": (b'{"id": ' + b"9" * 5000 + b"}", r"line 1: is not JSON: Exceeds the limit"),
    "deep.jsonl": (b"[" * 100_000, r"line 1: is not JSON: .*recursion"),
    "half.jsonl": (b'{"id": "a", "prompt": "\\ud800"}', r"line 1: holds half of a surrogate pair"),
    "half.yaml": (b'- {id: a, prompt: "\\ud800"}', r"line 1: is no value: .*surrogates"),
    "deep.yaml": (b"[" * 5000, r"is not YAML: .*recursion"),
    "tag.yaml": (b"- !!python/object/apply:os.system ['true']", r"line 1: the tag .*os\.system is not read"),
    "alias.yaml": (b"items: &x\n  - *x", r"its aliases or levels grow beyond all bounds"),
    "tab.yaml": (b"items:\n\t- id: a", r"is not YAML: .*'\\t' that cannot start any token at line 2"),
    "suite.jsonl": (line(id="arithmetic/0/1/7"), r"'arithmetic/0/1/7' is one of the suite's own slice arithmetic"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_paragraph_says_what_is_wrong_and_where(tmp_path: Path, name: str) -> None:
    data, said = FAULTS[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=said) as found:
        load_items(tmp_path / name)
    assert str(found.value).startswith(str(tmp_path / name))
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 600


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"\xef\xbb\xbf" + line(), ["a"]),
        (line().replace(b"\n", b"\r\n") + line(id="b").replace(b"\n", b"\r\n"), ["a", "b"]),
        (json.dumps({**ITEM, "prompt": "a\u2028b\u0085c"}, ensure_ascii=False).encode(), ["a"]),
        (line(prompt="x" * 5_000_000), ["a"]),
        (line(id="arithmetic/0"), ["arithmetic/0"]),  # as an lm-eval task of that name has it
    ],
    ids=["bom", "crlf", "line separators", "huge line", "a slice's name"],
)
def test_what_looks_odd_and_is_not_wrong(tmp_path: Path, data: bytes, ids: list[str]) -> None:
    (tmp_path / "items.jsonl").write_bytes(data)
    assert [item.id for item in load_items(tmp_path / "items.jsonl")] == ids


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UsageError, match=r"pipe\.jsonl: is no regular file"):
        load_items(tmp_path / "pipe.jsonl")


def test_ids_are_unique_over_several_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_bytes(line() + line(id="b"))
    second.write_bytes(line(id="c") + line(id="b"))
    with pytest.raises(UsageError, match=r"second\.jsonl: the id 'b' is taken by .*first\.jsonl\. Every item needs"):
        load_items(first, second)
    with pytest.raises(UsageError, match=r"the id 'a' stands there twice"):
        load_items(first, first)
    second.write_bytes(line(id="c"))
    assert [item.id for item in load_items(first, second)] == ["a", "b", "c"]
    assert load_items() == []
