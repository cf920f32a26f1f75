from dataclasses import replace

from bitproof.evaluate.graders.sampled import with_diversity
from bitproof.evaluate.suite.registry import find_slice
from bitproof.evaluate.suite.slice import make_items
from bitproof.types import Grade, Item, Message, Response

ITEM = Item(
    id="a", slices=("s",), cluster="c", messages=(Message(role="user", content="q"),), grader="form", gold={},
    temperature=0.5,
)  # fmt: skip


def parts(items: list[Item], texts: list[str]) -> list[dict[str, float]]:
    responses = {item.id: Response(texts=(text,), finish="stop") for item, text in zip(items, texts, strict=True)}
    grades = {item.id: Grade(score=1.0, parts={"valid": 1.0}) for item in items}
    found = with_diversity(items, responses, grades)
    assert list(found) == [item.id for item in items]
    assert all(grade.score == 1 and grade.parts["valid"] == 1 for grade in found.values())
    return [{name: value for name, value in grade.parts.items() if name != "valid"} for grade in found.values()]


def test_answers_to_one_prompt_are_compared_worked_by_hand() -> None:
    same = [replace(ITEM, id=name) for name in "abc"]
    # of the word pairs of each answer the others hold 1 of 2, 1 of 2, 2 of 2
    expected = {"distinct_answers_t0.5": 1.0, "self_overlap_t0.5": 2 / 3}
    assert parts(same, ["one two three", "two three four", "one two three four"[4:]]) != [expected] * 3
    assert parts(same, ["one two x", "one two y", "one two"]) == [expected] * 3
    alike = {"distinct_answers_t0.5": 1 / 3, "self_overlap_t0.5": 1.0}
    assert parts(same, ["red", "<think>or blue</think>red", "red\n"]) == [alike] * 3


def test_other_prompts_temperatures_and_clusters_are_not() -> None:
    message = (Message(role="user", content="other"),)
    others = [replace(ITEM, id="b", messages=message), replace(ITEM, id="d", temperature=1.0)]
    assert parts([ITEM, *others, replace(ITEM, id="e", cluster="d")], ["x"] * 4) == [{}] * 4
    greedy = [replace(ITEM, id=name, temperature=0.0) for name in "ab"]
    assert parts(greedy, ["x", "x"]) == [{}, {}]  # one answer, told twice


def test_an_answer_that_failed_or_was_not_graded_is_left_out() -> None:
    items = [replace(ITEM, id=name) for name in "abcd"]
    responses = {name: Response(texts=("x",), finish="stop") for name in "abc"}
    responses["c"] = Response(texts=(), finish="error", error="down")
    grades = {name: Grade(score=1.0) for name in "abc"}
    found = with_diversity(items, responses, grades)
    assert found["a"].parts == {"distinct_answers_t0.5": 0.5, "self_overlap_t0.5": 1.0}
    assert found["c"].parts == {}


def test_every_prompt_of_the_slice_has_five_seeds_at_each_temperature() -> None:
    items = make_items(find_slice("temperature"), 40, seed=0)
    found = parts(items, ["yes"] * 40)
    for item, own in zip(items, found, strict=True):
        shares = {f"distinct_answers_t{item.level:g}": 1 / 5, f"self_overlap_t{item.level:g}": 1.0}
        assert own == (shares if item.level else {})
