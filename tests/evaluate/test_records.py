"""The answers that a run leaves in its folder: they are those it had, and are read back as such."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitproof.engines.generation import Forced
from bitproof.errors import UsageError
from bitproof.evaluate.comparison import Paired, pair
from bitproof.evaluate.grading import grade
from bitproof.evaluate.hosts import open_host
from bitproof.evaluate.records import Given, file_name, item_pairs, read_answers, write_answers
from bitproof.evaluate.runner import Answers, Runner, Subject
from bitproof.store.runs import Store
from bitproof.types import Grade, Item, Message, NotMeasured, Response, ToolCall


def item(number: int, **changes: Any) -> Item:
    fields: dict[str, Any] = {
        "id": f"own/{number}",
        "slices": ("own",),
        "cluster": f"c{number // 2}",
        "messages": (Message(role="user", content=f"{number} say {chr(97 + number)}\u2028"),),
        "grader": "contains",
        "gold": {"expected": ["a"], "not_measured": "a key of the user's own"},
        "max_tokens": 6,
    }
    return Item(**{**fields, **changes})


ITEMS = [item(0), item(1, follow_ups=("and then?",)), item(2), item(3, level=2.0)]


@pytest.fixture(scope="module")
def run(ladder: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Paired, Answers, Answers]:
    """Two subjects of a tiny ladder, asked and written."""
    folder = tmp_path_factory.mktemp("run")
    with Store(folder) as store, open_host("emulation", ladder.reference, ladder.artifacts[:3]) as place:
        runner = Runner(store, ITEMS, place.tokenizer)
        found = []
        for target in (place.reference(), place.variants()[-1]):
            with target.open() as engine:
                subject = Subject(name=target.name, engine=engine, model=target.digest)
                answers = runner.ask(subject, reference=found[0][0] if found else None)
                if not found:
                    place.remember(engine, answers)
            found.append((answers, grade(store, ITEMS, answers)))
    (expected, grades), (other, other_grades) = found
    write_answers(folder, ITEMS, expected, grades)
    write_answers(folder, ITEMS, other, other_grades, reference=expected)
    return folder, pair(ITEMS, found[0], found[1]), expected, other


def test_what_is_read_is_what_was_paired(run: Any):
    folder, paired, expected, other = run
    reference, variant = (read_answers(folder, answers.subject) for answers in (expected, other))
    found = list(item_pairs(reference, variant))
    assert [replace(one, kl_nats=0.0) for one in found] == [replace(one, kl_nats=0.0) for one in paired.pairs]
    assert [one.kl_nats for one in found] == pytest.approx([one.kl_nats for one in paired.pairs])
    assert any(one.first_change is not None for one in found)
    assert [one.item for one in variant] == ITEMS
    assert [len(one.response.texts) for one in variant] == [1, 2, 1, 1]


def test_the_given_answer_is_summed_up(run: Any):
    folder, _, expected, other = run
    for one in read_answers(folder, other.subject):
        forced, own = other.forced[one.item.id], expected.forced[one.item.id]
        assert isinstance(one.given, Given)
        assert one.given.n_tokens == len(forced.logprobs_nats) == len(expected.responses[one.item.id].token_ids[0])
        assert one.given.logprob_change_nats == pytest.approx((forced.logprobs_nats - own.logprobs_nats).mean())
        assert one.given.kl_nats == pytest.approx(forced.kl_nats.mean())
        assert one.given.top1_flips == pytest.approx(np.mean(~forced.same_top))
        assert len(one.prompt_sha256 or "") == 64
    own = [one.given for one in read_answers(folder, expected.subject)]
    assert all(isinstance(one, Given) and one.logprob_change_nats == 0 for one in own)


def test_both_were_asked_the_same_tokens(run: Any):
    folder, _, expected, other = run
    prompts = [[one.prompt_sha256 for one in read_answers(folder, each.subject)] for each in (expected, other)]
    assert prompts[0] == prompts[1]
    assert len(set(prompts[0])) == len(ITEMS)


def test_nothing_but_answers_is_in_the_folder(run: Any):
    folder, _, expected, other = run
    names = sorted(file.name for file in (folder / "answers").iterdir())
    assert names == sorted(f"{file_name(each.subject)}.jsonl" for each in (expected, other))


def answered(folder: Path, response: Response, score: float | NotMeasured, **more: Any) -> Any:
    """One item's answer, written and read."""
    answers = Answers(subject="https://host/v1#m", responses={"own/0": response}, **more)
    write_answers(folder, ITEMS, answers, {"own/0": Grade(score=score, parts={"valid": 1.0}, note="n\ud83d")})
    (found,) = read_answers(folder, "https://host/v1#m")
    return found


def test_an_endpoint_that_says_little(tmp_path: Path):
    call = ToolCall(name="f", arguments={"a": [1, {"not_measured": "no"}]})
    response = Response(texts=("a\x85\u2028\n\ud83d",), finish="error", tool_calls=(call,), error="503", retries=2)
    found = answered(tmp_path, response, NotMeasured("no answer: 503"))
    assert found.response == response
    assert found.grade == Grade(score=NotMeasured("no answer: 503"), parts={"valid": 1.0}, note="n\ud83d")
    assert found.given == NotMeasured("this engine does not score given tokens")
    assert (found.prompt_sha256, found.first_change, found.completions) == (None, None, ())
    assert list(item_pairs([found], [found])) == []


def test_what_an_engine_scores_in_part(tmp_path: Path):
    forced = {"own/0": Forced(logprobs_nats=np.array([-1.0, -2.0]))}
    found = answered(tmp_path, Response(texts=("a",), finish="stop"), 1.0, forced=forced)
    assert found.given.logprob_nats == -1.5
    assert found.given.kl_nats == found.given.top1_flips == NotMeasured("this engine gives no distributions")
    (both,) = item_pairs([found], [found])
    assert both.kl_nats == NotMeasured("this engine gives no distributions")


def test_names_of_files():
    assert file_name("w4a16-awq.scaled.gptq-g64+kvfp8") == "w4a16-awq.scaled.gptq-g64+kvfp8"
    hostile = [
        "../../etc/passwd",
        "a/b",
        "a b",
        "a\\b",
        "https://h/v1#m",
        "",
        ".",
        "..",
        "-x",
        ".hidden",
        "é",
        "\ud83d",
    ]
    names = [file_name(name) for name in (*hostile, "x" * 300, "a-b")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{2,98}", name) for name in names)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda line: "nonsense", "line 1: this is not JSON"),
        (lambda line: line | {"score": 1}, "line 1: 'score' is unknown here"),
        (lambda line: line | {"subject": "another"}, "line 1: is an answer of 'another'"),
        (lambda line: line | {"item": line["item"] | {"slices": "own"}}, 'line 1, item.slices: "own" is not a list'),
        (lambda line: [line], "line 1: .* is not an object"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, damage: Any, words: str):
    answered(tmp_path, Response(texts=("a",), finish="stop"), 1.0)
    (path,) = (tmp_path / "answers").iterdir()
    changed = damage(json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(UsageError, match=words):
        read_answers(tmp_path, "https://host/v1#m")


def test_a_subject_without_answers_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"answers/w8a16\.jsonl: there is no such file"):
        read_answers(tmp_path, "w8a16")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path):
    answered(tmp_path, Response(texts=("a",), finish="stop"), 1.0)
    with pytest.raises(TypeError):
        answered(tmp_path, Response(texts=(object(),), finish="stop"), 0.0)  # type: ignore[arg-type]
    (found,) = read_answers(tmp_path, "https://host/v1#m")
    assert found.response.texts == ("a",)
    assert len(list((tmp_path / "answers").iterdir())) == 1
