"""Long context: a fact planted in filler, or a value under a key among many, to be found again.

The needle's depth is uniform. Every needle has a twin elsewhere in the text, the same wording about something else, so
that finding any number is not enough; the answer with the twin's value is the distractor. After Kamradt's "needle in a
haystack" (2023) and the key-value retrieval of Liu et al., "Lost in the Middle" (2023), section 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from bitproof.evaluate.suite.prose import SETTINGS, approximate_tokens, filler
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

ANSWER_TOKENS = 24
LEVELS = (512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0)
_TEMPLATE_TOKENS = 60  # of a chat template and its system text

_NAMES = (
    "Amara", "Bjorn", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hiroshi", "Ines", "Jamal", "Katya", "Lucas",
    "Mirza", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tomas", "Ursula", "Viktor", "Wanda", "Yusuf",
)  # fmt: skip
_PLACES = (
    "Lisbon", "Oslo", "Nairobi", "Quito", "Hanoi", "Tallinn", "Accra", "Perth", "Sofia", "Dublin", "Riga", "Lima",
    "Cairo", "Bergen", "Porto", "Graz", "Tunis", "Leeds", "Kyoto", "Malaga",
)  # fmt: skip
_THINGS = (
    "copper key", "green folder", "silver bell", "blue suitcase", "brass compass", "red ledger", "glass vase",
    "iron box", "yellow umbrella", "leather map", "stone lamp", "paper kite", "wool blanket", "ivory comb",
)  # fmt: skip
_ADJECTIVES = ("amber", "bold", "calm", "dusty", "early", "fair", "gentle", "hollow", "icy", "jolly", "keen", "loud")
_ANIMALS = ("falcon", "otter", "badger", "heron", "lynx", "marten", "osprey", "puffin", "raven", "salmon", "tiger")

# A needle: what is stated of a thing, what is asked, from what the values come.
_STATED: dict[str, tuple[str, str, Callable[[Random], str]]] = {
    "number": (
        "The access number of the {thing} is {value}.",
        "What is the access number of the {thing}? Answer with the number only.",
        lambda random: str(random.randint(10_000, 99_999)),
    ),
    "person": (
        "The {thing} was given to {value} for safe keeping.",
        "Who was given the {thing} for safe keeping? Answer with the name only.",
        lambda random: random.choice(_NAMES),
    ),
    "place": (
        "Nobody knew at first that the {thing} had been sent to {value}.",
        "To which city had the {thing} been sent? Answer with the name of the city only.",
        lambda random: random.choice(_PLACES),
    ),
    "word": (
        'Whoever asks for the {thing} has to say the password "{value}".',
        "Which password has to be said to get the {thing}? Answer with the password only.",
        lambda random: f"{random.choice(_ADJECTIVES)} {random.choice(_ANIMALS)}",
    ),
    "price": (
        "At the auction the {thing} was sold for {value} euros.",
        "For how many euros was the {thing} sold? Answer with the number only.",
        lambda random: str(random.randint(101, 989)),
    ),
}
_DENSE = 1.25  # tokens of a record for each that prose of the same words and marks would have: its words stand alone
# Key-value records: one record a line, from a key and a value.
_RECORDS: dict[str, tuple[Callable[[str, str], str], str]] = {
    "lines": (lambda key, value: f"{key} = {value}", "Which value stands behind {key}?"),
    "json": (lambda key, value: json.dumps({"key": key, "value": int(value)}), 'What is the "value" of key "{key}"?'),
    "table": (lambda key, value: f"| {key} | {value} |", "Which value does the row of {key} hold?"),
    "log": (lambda key, value: f"INFO unit {key} finished with code {value}", "With which code did unit {key} finish?"),
}
_KINDS = (*_STATED, *_RECORDS)
CLUSTERS = tuple(f"{kind}/{setting}" for kind in _KINDS for setting in SETTINGS)


def make(random: Random, cluster: str, level: float) -> Item:
    """An item whose prompt is at most `level` tokens of context with its answer, for an average tokenizer."""
    kind, setting = cluster.split("/")
    budget = 0.95 * level - ANSWER_TOKENS - _TEMPLATE_TOKENS
    build = _records if kind in _RECORDS else _needle
    text, question, right, wrong = build(random, kind, setting, budget)
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(Message(role="user", content=f"{text}\n\n{question}"),),
        grader="contains",
        gold={"expected": [right], "not": [wrong]},
        right=right,
        wrong=wrong,
        max_tokens=ANSWER_TOKENS,
    )


def _needle(random: Random, kind: str, setting: str, budget: float) -> tuple[str, str, str, str]:
    """Text with a needle and its twin, the question, the value asked for and the twin's."""
    statement, question, draw = _STATED[kind]
    thing, other = random.sample(_THINGS, 2)
    right, wrong = _two(random, draw)
    needles = [statement.format(thing=thing, value=right), statement.format(thing=other, value=wrong)]
    question = "Question about the text above: " + question.format(thing=thing)
    sentences = filler(random, setting, budget - approximate_tokens(" ".join([*needles, question, "Read this text."])))
    for needle in needles:
        sentences.insert(random.randint(0, len(sentences)), needle)
    return "Read this text.\n\n" + _paragraphs(sentences), question, right, wrong


def _records(random: Random, kind: str, setting: str, budget: float) -> tuple[str, str, str, str]:
    """Lines of keys and values, the question, the value asked for and a neighbour's."""
    line, question = _RECORDS[kind]
    introduction = f"These are the records of the {setting}."
    ask = question + " Answer with the number only."
    left = budget - approximate_tokens(introduction + ask) - 20
    pairs: dict[str, str] = {}
    values: set[str] = set()
    while True:
        key = f"{random.choice(_ADJECTIVES)}-{random.choice(_ANIMALS)}-{random.randint(1, 99)}"
        value = str(random.randint(1_000, 9_999))
        if key in pairs or value in values:
            continue
        left -= _DENSE * approximate_tokens(line(key, value)) + 1
        if left < 0 and len(pairs) >= 2:
            break
        pairs[key] = value
        values.add(value)
    records = list(pairs.items())
    at = random.randrange(len(records))
    (key, right), (_, wrong) = records[at], records[at - 1]
    text = introduction + "\n\n" + "\n".join(line(*record) for record in records)
    return text, ask.format(key=key), right, wrong


def _two(random: Random, draw: Callable[[Random], str]) -> tuple[str, str]:
    """Two different values."""
    first = second = draw(random)
    while second == first:
        second = draw(random)
    return first, second


def _paragraphs(sentences: list[str]) -> str:
    return "\n\n".join(" ".join(sentences[start : start + 6]) for start in range(0, len(sentences), 6))


SLICE = Slice(
    name="long-context",
    title="Long context",
    what="State the fact or value asked for, from anywhere in the context, and not that of its twin.",
    clusters=CLUSTERS,
    levels=LEVELS,
    unit="tokens of context",
    make=make,
    context_tokens=lambda tokens: tokens,
)
