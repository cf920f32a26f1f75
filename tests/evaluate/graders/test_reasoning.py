import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitproof.evaluate.graders.reasoning import answered, without_reasoning
from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.prompts import conversation
from bitproof.types import Item, Message, Response

SAID = "The answer is 12."


@pytest.mark.parametrize(
    ("text", "answer", "ended"),
    [
        (SAID, SAID, True),
        (f"<think>Is it 9? No.</think>\n\n{SAID}", SAID, True),
        (f"Is it 9? No.\n</think>\n{SAID}", SAID, True),  # the template wrote <think>
        (f"<thinking>9</thinking>{SAID}", SAID, True),
        (f"[THINK]9[/THINK]{SAID}", SAID, True),
        (f"<think>9</think>no<think>10</think>{SAID}", SAID, True),
        ("<think>The answer is 9, or", "", False),
        (f"{SAID}\n<think>or", f"{SAID}\n", False),
        ("<think>9</think>", "", True),
        ("<think>9</think>\n    return 1", "    return 1", True),  # indentation is part of an answer
        ("a < b and think > c", "a < b and think > c", True),
        ("", "", True),
    ],
)
def test_what_is_left(text: str, answer: str, ended: bool) -> None:
    assert without_reasoning(text) == (answer, ended)


@given(st.text(alphabet="<>/think [TH]", max_size=60))
def test_what_is_left_is_an_end_of_the_text_without_marks(text: str) -> None:
    rest, ended = without_reasoning(text)
    assert rest in text
    assert "<think>" not in rest
    assert "</think>" not in rest
    assert not ended or text.endswith(rest)


def test_reasoning_that_is_cut_off_makes_the_answer_one_that_is_cut_off() -> None:
    assert answered(Response(texts=("<think>12",), finish="stop")) == Response(texts=("",), finish="length")
    assert answered(Response(texts=("<think>12",), finish="error")).finish == "error"
    whole = Response(texts=("OK", f"<think>9</think>{SAID}"), finish="stop")
    assert answered(whole) == Response(texts=("OK", SAID), finish="stop")
    unchanged = Response(texts=(SAID,), finish="stop")
    assert answered(unchanged) is unchanged
    assert answered(Response(texts=(), finish="error")).texts == ()


GOLD = {
    "number": {"value": 12},
    "contains": {"expected": ["12"], "not": ["9"]},
    "choice": {"label": "12", "options": ["12", "9"]},
    "exact": {"accept": ["12"]},
    "letter": {"label": "B", "options": {"A": "9", "B": "12"}},
    "fields": {"fields": {"n": "12"}},
    "fact": {"accept": ["12"], "options": ["9", "12"]},
    "json": {"value": 12},
    "constraints": {"constraints": [{"kind": "words", "at_most": 1}]},
}


@pytest.mark.parametrize("name", GOLD)
def test_graders_do_not_read_it(name: str) -> None:
    item = Item(id="i", slices=("s",), cluster="c", messages=(), grader=name, gold=GOLD[name])
    for text, score in (("<think>9, or is the answer: 9?</think>\n12", 1), ("<think>12", 0)):
        assert find_grader(name).grade(item, Response(texts=(text,), finish="stop")).score == score


def test_nor_do_the_turns_that_follow() -> None:
    item = Item(
        id="i",
        slices=("s",),
        cluster="c",
        messages=(Message(role="user", content="a"),),
        follow_ups=("b",),
        grader="number",
        gold={},
    )
    assert [message.content for message in conversation(item, ["<think>x</think>y"])] == ["a", "y", "b"]
