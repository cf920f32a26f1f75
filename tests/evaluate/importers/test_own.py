import json
from pathlib import Path
from typing import Any

import pytest

from bitproof.errors import UsageError
from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.importers.load import load_items
from bitproof.types import Message, Response

GOOD: dict[str, Any] = {"id": "a", "prompt": "Two and two?", "grader": "number", "gold": {"value": 4}}


def written(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
    return path


def test_a_short_item_and_a_full_one(tmp_path: Path) -> None:
    full = {
        "id": 7,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "?"},
        ],
        "grader": "constraints",
        "gold": {"constraints": [{"kind": "words", "at_most": 3}]},
        "slice": ["support", "german"],
        "cluster": "greeting",
        "level": 2,
        "max_tokens": 9,
        "temperature": 0.5,
        "right": "Yes",
        "wrong": "No",
        "follow_ups": ["And now?"],
        "tools": [{"name": "f", "parameters": {"type": "object"}}],
        "schema": {"type": "string"},
    }
    short, long = load_items(written(tmp_path, GOOD, full))
    assert (short.id, short.slices, short.cluster, short.level, short.max_tokens) == ("a", ("mine",), "a", 0, 64)
    assert short.messages == (Message(role="user", content="Two and two?"),)
    assert find_grader(short.grader).grade(short, Response(texts=("It is 4.",), finish="stop")).score == 1
    assert (long.id, long.slices, long.cluster, long.level) == ("7", ("support", "german"), "greeting", 2)
    assert [message.role for message in long.messages] == ["system", "user", "assistant", "user"]
    assert (long.temperature, long.follow_ups, long.schema) == (0.5, ("And now?",), {"type": "string"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": None}, "has no 'id'"),
        ({"grader": None}, "has no 'grader'. There are: "),
        ({"grader": "nummber"}, "there is no grader 'nummber'. Did you mean 'number'?"),
        ({"promt": "x"}, "unknown key 'promt'. Did you mean 'prompt'?"),
        ({"prompt": None}, "neither of 'prompt' and 'messages'"),
        ({"messages": [{"role": "user", "content": "x"}]}, "both of 'prompt' and 'messages'"),
        ({"prompt": 3}, "'prompt' is int 3, not text"),
        ({"prompt": " "}, "is empty"),
        ({"level": "high"}, "'level' is str 'high', not a number"),
        ({"level": True}, "not a number"),
        ({"max_tokens": 0}, "'max_tokens' is 0. It is from 1 to 1,000,000."),
        ({"temperature": float("inf")}, "'temperature' is inf"),
        ({"slice": []}, "'slice' holds what is no text"),
        ({"follow_ups": [1]}, "'follow_ups' holds what is no text"),
        ({"prompt": None, "messages": [{"role": "bot", "content": "x"}]}, "message 1 is"),
        ({"prompt": None, "messages": [{"role": "assistant", "content": "x"}]}, "not a question"),
        ({"gold": {}}, "its gold lacks 'value', which 'number' needs"),
        ({"gold": {"value": []}}, "its gold is not what 'number' reads"),
        ({"schema": {"type": "strin"}}, "the schema is not valid at type"),
        ({"tools": ["f"]}, "no function"),
        ({"tools": [{"name": "f", "parameters": {"type": 3}}]}, "the schema is not valid at type"),
        ({"grader": "constraints", "gold": {"constraints": [{"kind": "word"}]}}, "no constraint"),
        ({"grader": "constraints", "gold": {}}, "no constraint"),
    ],
)
def test_faults_are_answered_with_the_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = written(tmp_path, {**GOOD, "id": "first"}, {**GOOD, **change})
    with pytest.raises(UsageError) as caught:
        load_items(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}, line 2: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "a"', "line 1: is not JSON"),
        ('{"id": "a", "id": "b"}', "the key 'id' stands there twice"),
        ("[1]", "line 1: holds no mapping"),
        ("", "holds no item"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_broken_json_lines(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_items(path)


def test_an_id_that_is_taken_names_both_lines(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, {**GOOD, "id": "b"}, GOOD)
    with pytest.raises(UsageError, match=r"line 3: the id 'a' is taken by .*line 1"):
        load_items(path)


YAML = """\
defaults:
  grader: exact
  slice: capitals
items:
  - id: oslo
    prompt: Capital of Norway?
    gold: {accept: [Oslo]}
  - id: rome
    prompt: Capital of Italy?
    gold: {accept: [Rome]}
    level: 2
"""


def test_yaml_with_defaults_and_as_a_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    items = load_items(path)
    assert [(item.id, item.grader, item.slices, item.level) for item in items] == [
        ("oslo", "exact", ("capitals",), 0),
        ("rome", "exact", ("capitals",), 2),
    ]
    path.write_text("- {id: a, prompt: x, grader: choice, gold: {label: no, options: [yes, no]}}\n")
    item = load_items(path)[0]
    assert (item.slices, item.gold) == (("mine",), {"label": "no", "options": ["yes", "no"]})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    prompt: Capital of Italy?\n", "    promt: Capital of Italy?\n", "line 8: unknown key 'promt'"),
        ("id: rome", "id: oslo", "line 8: the id 'oslo' is taken by"),
        ("    level: 2", "    level: 2\n    level: 3", "line 12: 'level' stands there twice"),
        ("defaults:", "default:", "line 1: unknown key 'default'. Did you mean 'defaults'?"),
        ("level: 2", "level: !function f.g", "line 11: the tag !function is not read"),
        ("level: 2", "level: !!python/object/apply:os.system [ls]", "line 11: the tag tag:yaml.org,2002:python"),
        ("level: 2", "level: [", "is not YAML"),
        (YAML, "items: 3", "holds no list of items"),
        (YAML, "- 3", "line 1: is no mapping"),
        (YAML, "", "is empty"),
        (YAML, "&a [*a]", "grow beyond all bounds"),
    ],
)
def test_faults_in_yaml(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(YAML.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load_items(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_aliases_that_explode_are_refused_in_time(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(UsageError, match="beyond all bounds"):
        load_items(path)


def test_what_is_no_form_of_items(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_items(tmp_path / "absent.jsonl")
    (tmp_path / "items.pickle").write_bytes(b"\x80")
    with pytest.raises(UsageError, match=r"the ending '.pickle' is no form of items"):
        load_items(tmp_path / "items.pickle")
