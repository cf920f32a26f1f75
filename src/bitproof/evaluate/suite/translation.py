"""Translation between English and twenty languages: short paragraphs of the Universal Declaration of Human Rights.

The paragraphs are parallel (articles 16-30; calibration text has the others). Every model has read the Declaration, so
the score says how much of it is left after quantization, not how well a model translates news. Level is the tier of the
language, as in `multilingual`; a cluster is a paragraph with a task: into English, from English, or which of three
paragraphs is the translation.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from random import Random

from bitproof.evaluate.suite.multilingual import languages, tiers
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["PARAGRAPHS", "SLICE", "declaration", "make"]

# Those of at most 170 characters in English.
PARAGRAPHS = (
    "16.2", "16.3", "17.1", "17.2", "20.1", "20.2", "21.1", "21.2", "23.1", "23.2", "23.4", "24.1", "25.2", "26.3",
    "27.1", "27.2", "28.1", "29.1", "29.3",
)  # fmt: skip
TASKS = ("into-english", "from-english", "choose")
CLUSTERS = tuple(f"{task}/{paragraph}" for task in TASKS for paragraph in PARAGRAPHS)
LETTERS = ("A", "B", "C")


@cache
def declaration() -> dict[str, dict[str, str]]:
    """ISO 639-1 code -> paragraph ("26.2") -> text."""
    texts: dict[str, dict[str, str]] = json.loads((files("bitproof") / "data" / "udhr.json").read_text("utf-8"))
    return texts


def make(random: Random, cluster: str, level: float) -> Item:
    """A paragraph to translate, or three to choose from, after one worked example; the language is one of the tier."""
    task, paragraph = cluster.split("/")
    code = random.choice(tiers()[level])
    example = random.choice([other for other in PARAGRAPHS if other.split(".")[0] != paragraph.split(".")[0]])
    if task == "choose":
        return _choice(random, code, paragraph, example)
    source, target = ("en", code) if task == "from-english" else (code, "en")
    return _free(source, target, paragraph, example)


def _free(source: str, target: str, paragraph: str, example: str) -> Item:
    """An item whose wrong answer is the translation of another paragraph, the one nearest to it in length."""
    texts = declaration()
    ask = f"Translate this sentence from {_name(source)} into {_name(target)}. Write the translation only.\n\n"
    right = texts[target][paragraph]
    others = [texts[target][other] for other in PARAGRAPHS if other not in (paragraph, example)]
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=(
            Message(role="user", content=ask + texts[source][example]),
            Message(role="assistant", content=texts[target][example]),
            Message(role="user", content=ask + texts[source][paragraph]),
        ),
        grader="chrf",
        gold={"reference": right, "language": target},
        right=right,
        wrong=min(others, key=lambda other: abs(len(other) - len(right))),
        max_tokens=32
        + round(len(right) * (0.6 if right.isascii() or target in (*tiers()[1.0], *tiers()[2.0]) else 1.5)),
    )


def _choice(random: Random, code: str, paragraph: str, example: str) -> Item:
    """Which of three English paragraphs is the translation of one; answered with a letter."""
    english, foreign = declaration()["en"], declaration()[code]
    messages = []
    for asked in (example, paragraph):
        pool = [
            other for other in PARAGRAPHS if other.split(".")[0] not in (asked.split(".")[0], paragraph.split(".")[0])
        ]
        options = [asked, *random.sample(pool, 2)]
        random.shuffle(options)
        rows = "\n".join(f"{letter}: {english[option]}" for letter, option in zip(LETTERS, options, strict=True))
        right = LETTERS[options.index(asked)]
        question = (
            f"Which English sentence is the translation of this {_name(code)} sentence?\n\n{foreign[asked]}\n\n{rows}"
            "\n\nAnswer with A, B or C only."
        )
        messages += [Message(role="user", content=question), Message(role="assistant", content=right)]
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=tuple(messages[:-1]),
        grader="exact",
        gold={"accept": [right, f"({right})", f"{right})", f"{right}: {english[paragraph]}"], "language": code},
        right=right,
        wrong=LETTERS[options.index(asked) - 1],
        max_tokens=8,
    )


def _name(code: str) -> str:
    return "English" if code == "en" else str(languages()[code]["name"])


SLICE = Slice(
    name="translation",
    title="Translation",
    what="Translate a sentence (chrF2 against the published translation), or find the translation among three.",
    clusters=CLUSTERS,
    levels=(1.0, 2.0, 3.0, 4.0),
    unit="tier of the language (1: much text, Latin script; 4: little text)",
    make=make,
    context_tokens=lambda _: 600,
)
