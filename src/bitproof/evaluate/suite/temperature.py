"""Temperature: short prompts with an exact form, sampled from T = 0 to 1.5, each prompt with five seeds.

Quantization noise adds to that of sampling, so a variant may keep its form at T = 0 and lose it at 1.5. Graded is the
form of each answer; how much the answers to one prompt differ is measured over them (`graders.sampled`). The answers
are drawn, not determined: the slice is described, never decided on.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["FORMS", "SLICE", "make"]

SUBJECTS = (
    "a lighthouse", "an old bicycle", "a market in the morning", "a lost key", "a quiet forest", "a stormy sea",
    "a violin", "a winter train", "a small bakery", "a garden gate", "a night sky", "a busy kitchen",
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """What is asked about {s}, the pattern an answer must match, an answer that does and one that does not."""

    ask: str
    pattern: str
    right: str
    wrong: str


_WORD = r"[A-Za-z][A-Za-z' -]{0,30}"
FORMS = {
    "sentence": Form(
        "Write exactly one sentence about {s}, of at most 20 words.",
        r"[A-Z][^\s.!?]*(?: [^\s.!?]+){1,19}[.!?]",
        "It is a thing that most people remember fondly.",
        "It is nice. People remember it. They are fond of it",
    ),
    "list": Form(
        "Name exactly three things that one may connect with {s}, separated by commas, without any other text.",
        rf"{_WORD}, {_WORD},(?: and)? {_WORD}\.?",
        "Silence, patience, wind",
        "Silence\npatience and also wind",
    ),
    "lines": Form(
        "Write three short lines about {s}, numbered 1. to 3., without any other text.",
        r"1\. [^\n]{2,120}\n+2\. [^\n]{2,120}\n+3\. [^\n]{2,120}",
        "1. It waits.\n2. It is seen.\n3. It stays.",
        "It waits.\nIt is seen.\nIt stays.",
    ),
    "json": Form(
        'Describe {s} as a JSON object with the keys "title" (text) and "age" (a whole number) and nothing else.',
        r'\{\s*"title":\s*"[^"\n]{1,120}",\s*"age":\s*\d{1,4}\s*\}',
        '{"title": "An old friend", "age": 40}',
        '{title: "An old friend", age: 40}',
    ),
    "date": Form(
        "Invent a date on which a story about {s} could begin. Answer with the date only, as YYYY-MM-DD.",
        r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])",
        "1987-04-12",
        "12 April 1987",
    ),
    "number": Form(
        "How beautiful is {s}, from 1 to 100? Answer with one whole number only.",
        r"(?:100|[1-9]\d?)\.?",
        "73",
        "I say 73",
    ),
    "colour": Form(
        "Which colour suits {s}? Answer with a hexadecimal colour code like #a1b2c3 only.",
        r"#[0-9A-Fa-f]{6}",
        "#3c6e71",
        "#3c6e7",
    ),
    "question": Form(
        "Ask one short question about {s}. Write the question only.",
        r"[A-Z][^.!?\n]{3,150}\?",
        "What would you change about it?",
        "What would you change about it",
    ),
    "title": Form(
        "Write a title of two to six words for a story about {s}, without quotes and without a full stop.",
        r"[^\s.\"]+(?: [^\s.\"]+){1,5}",
        "The Long Way Home",
        "A story about the very long way that leads home.",
    ),
    "choice": Form(
        "Is {s} better suited to a poem or to a song? Answer with the word poem or song only.",
        r"(?i:poem|song)\.?",
        "poem",
        "it depends",
    ),
}
TONES = {
    "plain": "{ask}",
    "friendly": "Hello! I need your help. {ask} Thank you.",
    "strict": "{ask} An answer in any other form is useless to me.",
    "role": "You write for a magazine. {ask}",
    "letters": "Task for today. {ask}",
    "short": "Quickly: {ask}",
}
CLUSTERS = tuple(f"{form}/{tone}" for tone in TONES for form in FORMS)


def make(random: Random, cluster: str, level: float) -> Item:
    """A prompt of the cluster's form, to be answered at temperature `level`; one worked example stands before it."""
    name, tone = cluster.split("/")
    form = FORMS[name]
    example, subject = random.sample(SUBJECTS, 2)
    asks = [TONES[tone].format(ask=form.ask.replace("{s}", each)) for each in (example, subject)]
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(
            Message(role="user", content=asks[0]),
            Message(role="assistant", content=form.right),
            Message(role="user", content=asks[1]),
        ),
        grader="form",
        gold={"pattern": form.pattern},
        right=form.right,
        wrong=form.wrong,
        max_tokens=64,
        temperature=level,
    )


SLICE = Slice(
    name="temperature",
    title="Sampling temperature",
    what="Keep an exact form at every temperature, without loops or noise.",
    clusters=CLUSTERS,
    levels=(0.0, 0.5, 1.0, 1.5),
    unit="temperature",
    make=make,
    context_tokens=lambda _: 260,
    repeats=5,
    sweep=True,
    gates=False,
)
