import random
from importlib.resources import files
from json import loads

import pytest

from bitproof.evaluate.graders.language_gate import incoherence, repeated_share

GOOD = [
    "12",
    "Yes.",
    "I'm sorry, but I can't help with that.",
    "No no no no, that is not right.",
    '{"name": "Ana", "age": 31, "tags": ["a", "b"]}',
    "- eggs\n- flour\n- milk\n- sugar\n- butter\n- salt",
    "def add(a, b):\n    return a + b",
    "Das ist nicht schwer: Man nimmt etwas Mehl und Wasser.",
    "これはペンです。あれは車です。",
    "मैं कल बाज़ार गया था और मैंने फल खरीदे।",
    "WRITE EVERYTHING IN CAPITAL LETTERS.",
    "La la la la la, sang the child.",
]
BAD = {
    "": "empty",
    " \n ... !!!": "empty",
    "the the the the the the the": "loops",
    "I am here to help. " * 12: "loops",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": "loops",
    "�� ▓▓▒ ☺☻ ░▒▓ ☺ ░░ ▒▒ x": "noise",
    "qwrtz bnmk xcvbg sdfghjk lkjhg mnbvc": "noise",
    "table wolf copper lens "
    + " ".join(f"{a}{b}er" for a in "bcdfgl" for b in ("and", "un", "ol", "ick", "ott", "ing")): ("word salad"),
}


@pytest.mark.parametrize("text", GOOD)
def test_language_is_coherent(text: str) -> None:
    assert incoherence(text) is None


@pytest.mark.parametrize(("text", "why"), BAD.items())
def test_broken_text_is_named(text: str, why: str) -> None:
    assert incoherence(text) == why


def _corpus(*classes: str) -> list[str]:
    lines = files("bitproof.data").joinpath("heldout.jsonl").read_text(encoding="utf-8").splitlines()
    records = [loads(line) for line in lines]
    return [record.get("text", "") for record in records if record["class"] in classes]


def _passages(*classes: str) -> list[str]:
    return [text[start : start + 600] for text in _corpus(*classes) for start in range(0, 3000, 600) if text[start:]]


def test_passages_of_books_in_many_languages_are_coherent() -> None:
    passages = _passages("prose", "multilingual", "long")
    assert len(passages) > 80
    rejected = [text for text in passages if incoherence(text)]
    assert len(rejected) <= 0.02 * len(passages), rejected


def test_shuffled_letters_and_loops_are_not() -> None:
    draw, passages = random.Random(1), [text for text in _passages("prose") if len(text) == 600]
    noise = ["".join(draw.sample(text, k=len(text))) for text in passages]
    assert sum(incoherence(text) is None for text in noise) <= 0.05 * len(noise)
    looped = [(text[:60] + " ") * 8 for text in passages]
    assert not any(incoherence(text) is None for text in looped)


def test_repeated_share_by_hand() -> None:
    assert repeated_share("abcd") == 0
    assert repeated_share("abc") == 0
    assert repeated_share("abcdabcd", length=4) == pytest.approx(1 / 5)  # abcd bcda cdab dabc abcd
    assert repeated_share("aaaaaa", length=2) == pytest.approx(4 / 5)
