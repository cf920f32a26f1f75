from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitproof.evaluate.graders.number import GRADER, final_number
from bitproof.types import Item, Message, Response


def grade(text: str, finish: str = "stop", **gold: object) -> float:
    item = Item(id="", slices=(), cluster="", messages=(Message(role="user", content=""),), grader="number", gold=gold)
    score = GRADER.grade(item, Response(texts=(text,), finish=finish)).score  # type: ignore[arg-type]
    assert isinstance(score, float)
    return score


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", "12"),
        ("12.", "12"),
        ("= 12", "12"),
        ("**12**", "12"),
        ("$1,234.50", "1234.5"),
        ("1 234", "1234"),
        ("1\u202f234\u00a0567.25", "1234567.25"),
        ("\\$40", "40"),
        ("The answer is 12.", "12"),
        ("**Answer:** 12", "12"),
        ("**Answer**: 12", "12"),
        ("Answer:\n\n**668**", "668"),
        ("200 * 1.3 = 260\n260 * 0.8 = 208\nAnswer: 668", "668"),
        ("Answer: 668, because 200 + 468 = 668", "668"),
        ("Answer: 3 * 4 = 12", "12"),
        ("Answer: 3.5 km = 3,500 m", "3500"),
        ("Answer: over 3 days it is 668 dollars", "668"),
        ("Answer: 12 km/h", "12"),
        ("The final answer is $\\boxed{42}$ for 2 people", "42"),
        ("First 5, then 7. So there are 12 left", "12"),
        ("48 - 12 = 36", "36"),
        ("48 -12", "12"),
        ("it fell to -12 degrees", "-12"),
        ("Answer: −0.5", "-0.5"),
        ("-$5.20", "-5.2"),
        ("$-5.20", "-5.2"),
        ("- 12", "12"),
        ("1/2", "0.5"),
        ("1.5e3", "1500"),
        (".5", "0.5"),
        ("١٢", "12"),
        ("Answer: 12\nI hope this answer helps!", "12"),
        ("room 12b costs 30", "30"),
    ],
)
def test_the_number_meant_whatever_its_form(text, value):
    assert final_number(text) == Fraction(value)


@pytest.mark.parametrize("text", ["", "no idea", "Answer: unknown", "twelve", "- , . $", "\x00", "9" * 5000])
def test_no_number_is_no_answer(text):
    assert final_number(text) is None
    assert grade(text, value=0) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("twelve", 12),
        ("Twenty-one.", 21),
        ("one hundred and five", 105),
        ("It is three thousand four hundred and twelve marbles", 3412),
        ("two or three", 3),
        ("2 and three", 2),
    ],
)
def test_words_where_they_are_asked_for(text, value):
    assert final_number(text, words=True) == value


def test_words_that_are_no_number():
    assert final_number("hundred and thousand", words=True) is None


def test_a_tolerance_is_kept_exactly():
    assert grade("3.14", value=3.1416, tolerance=0.0016) == 1
    assert grade("3.14", value=3.1416, tolerance=0.0015) == 0
    assert grade("0.3", value=0.3) == 1
    assert grade("0.30000001", value=0.3) == 0


def test_a_failed_response_scores_nothing():
    assert grade("12", value=12) == 1
    assert grade("12", finish="error", value=12) == 0


@given(st.text(max_size=60))
def test_any_text_is_graded(text):
    assert grade(text, value=7) in (0, 1)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2))
def test_a_number_is_read_in_every_form(number):
    forms = (f"{number}", f"{number:,}", f"Answer: **{number:,}**", f"it is {number:,}.".replace(",", " "))
    assert {final_number(form) for form in forms} == {Fraction(number)}
