"""General knowledge, with how sure the model says it is.

Each relation (capitals, symbols, authors, years, ...) is asked in two forms: with four options, and openly. A cluster
is a relation in a form. The level is the rarity of the fact. The answer has the form "Answer: Paris; Confidence: 90",
so that calibration (the Brier score of the stated confidence) is measured beside correctness.
"""

from __future__ import annotations

import re
from random import Random

from bitproof.evaluate.suite.facts_table import Relation, relations
from bitproof.evaluate.suite.slice import Slice, few_shot
from bitproof.types import Item

__all__ = ["SLICE"]

ASK = '{question}\nReply as "Answer: ...; Confidence: ...", the confidence being the percent chance that you are right.'
EXAMPLES = (
    ("What colour is a ripe lemon? Options: blue, yellow, black, white.", "Answer: yellow; Confidence: 99"),
    ("How many rivers are there in Ireland?", "Answer: 3000; Confidence: 20"),
)


def _others(relation: Relation, answers: tuple[str, ...]) -> list[str]:
    """Other answers of the relation, in their usual form, in the order of the table."""
    usual = [fact.answers for tier in relation.tiers for fact in tier]
    apart = [each[0] for each in usual if not set(each) & set(answers)]
    return list(dict.fromkeys(apart))


def _asked(question: str, subject: str) -> str:
    """The question about a subject, with "an" where it begins with a vowel."""
    if subject[0].lower() in "aeiou":
        question = re.sub(r"\b([Aa]) \{\}", r"\1n {}", question)
    return question.format(subject)


def _make(random: Random, cluster: str, level: float) -> Item:
    name, _, form = cluster.partition("/")
    relation = relations()[name]
    fact = random.choice(relation.tiers[int(level) - 1])
    others = _others(relation, fact.answers)
    wrong = random.choice(others)
    question = _asked(relation.question, fact.subject)
    gold: dict[str, list[str]] = {"accept": list(fact.answers)}
    if form == "choice":
        further = random.sample([each for each in others if each != wrong], min(2, len(others) - 1))
        gold["options"] = [fact.answers[0], wrong, *further]
        random.shuffle(gold["options"])
        question += f" Options: {', '.join(gold['options'])}."
    messages = few_shot((ASK.format(question=asked), answer) for asked, answer in (*EXAMPLES, (question, "")))
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=messages,
        grader="fact",
        gold=gold,
        right=f"Answer: {fact.answers[0]}",
        wrong=f"Answer: {wrong}",
        max_tokens=32,
    )


SLICE = Slice(
    name="facts",
    title="Facts, with stated confidence",
    what="a fact that is right; beside it, how well the stated confidence fits",
    clusters=tuple(f"{name}/{form}" for name in relations() for form in ("choice", "open")),
    levels=(1, 2, 3),
    unit="rarity",
    make=_make,
    context_tokens=lambda _: 300,
)
