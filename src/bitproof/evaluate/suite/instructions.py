"""Slice `instructions`: short texts under one to four rules that a program can check.

In the manner of IFEval (arXiv 2311.07911), with own topics, rules and wording. A rule is drawn from each of as many
families as the level says (shape, case, content, edge, commas, language); rules that contradict each other or that
make each other's reading doubtful (does a title count as a sentence?) never meet. A text that keeps all rules, and one
that breaks exactly one of them, are composed for every item. All texts must also be coherent, or noise would keep most
of the rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any

from bitproof.evaluate.suite.instruction_topics import GENERIC, IN_LANGUAGE, TOPICS, Topic
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE"]

Rule = dict[str, Any]
FAMILIES = {
    "shape": ("sentences", "most", "least", "bullets", "paragraphs", "json"),
    "case": ("lower", "upper"),
    "content": ("include", "avoid", "repeat"),
    "edge": ("starts", "ends", "quoted", "title", "postscript"),
    "commas": ("no_commas",),
    "language": ("language",),
}
_EDGES = frozenset(FAMILIES["edge"])
CONFLICTS: dict[str, frozenset[str]] = {
    "json": _EDGES | {"no_commas", "language", "upper"},
    "language": _EDGES | {"include", "avoid", "repeat", "upper"},
    "bullets": _EDGES,
    "lower": frozenset({"starts", "ends", "postscript"}),  # words are given with capital letters, or small ones
    "upper": frozenset({"starts", "ends", "include", "repeat"}),
    "sentences": frozenset({"title", "postscript"}),
    "paragraphs": frozenset({"title", "postscript", "ends", "starts"}),
}
NAMES = {"es": "Spanish", "fr": "French", "de": "German", "it": "Italian", "pt": "Portuguese"}
STARTS = ("In short:", "Good question:", "Let me see:", "Here is my view:", "To begin with:")
ENDS = ("That is all I know.", "Thank you for reading.", "See you soon.", "Now it is your turn.", "Have a nice day.")
KEYS = (("text", "language"), ("title", "text"), ("answer",), ("topic", "answer"))
SHOWN = 2  # rules, up to which the conversation begins with an example
TAILS = (
    "Write the text only, in at most 60 words.",
    "Give only the text itself, no more than 60 words.",
    "Answer with the text and nothing else, in 60 words or fewer.",
)  # so that no answer is cut off; what is graded are the rules


def _make(random: Random, cluster: str, level: float) -> Item:
    topic, kinds = TOPICS[cluster], _kinds(random, int(level))
    prompt, rules = _request(random, topic, kinds)
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(*_example(random, topic, kinds), Message(role="user", content=prompt)),
        grader="constraints",
        gold={"constraints": [*rules.values(), {"kind": "coherent"}]},
        right=_Draft(topic, rules).text(),
        wrong=_Draft(topic, rules, random.choice(kinds)).text(),
        max_tokens=128,
    )


def _request(random: Random, topic: Topic, kinds: list[str]) -> tuple[str, dict[str, Rule]]:
    drawn = [_rule(random, kind, topic) for kind in kinds]
    heading = "Follow this rule:" if len(drawn) == 1 else f"Follow all of these {len(drawn)} rules:"
    prompt = "\n".join([topic.task, heading, *(f"- {text}" for _, _, text in drawn), random.choice(TAILS)])
    return prompt, {kind: rule for kind, rule, _ in drawn}


def _example(random: Random, topic: Topic, kinds: list[str]) -> tuple[Message, ...]:
    """One or two rules are shown at work on another topic first; three and four are not."""
    if len(kinds) > SHOWN:
        return ()
    other = random.choice([found for found in TOPICS.values() if found.name != topic.name])
    prompt, rules = _request(random, other, kinds)
    return Message(role="user", content=prompt), Message(role="assistant", content=_Draft(other, rules).text())


def _kinds(random: Random, n: int) -> list[str]:
    """`n` kinds of rules, of different families, none in conflict."""
    while True:
        families = random.sample(list(FAMILIES), n)
        kinds = [random.choice(FAMILIES[family]) for family in families]
        if not any(b in CONFLICTS.get(a, ()) or a in CONFLICTS.get(b, ()) for a, b in combinations(kinds, 2)):
            return kinds


def _rule(random: Random, kind: str, topic: Topic) -> tuple[str, Rule, str]:
    """The kind, what the grader checks, and the words that ask for it."""
    n, pair, word = random.randint(2, 4), random.sample(topic.words, 2), random.choice(topic.words)
    both = f'"{pair[0]}" and "{pair[1]}"'
    match kind:
        case "sentences":
            return kind, _exactly(kind, n), f"Write exactly {n} sentences."
        case "most":
            n = random.choice((20, 25, 30, 35))
            return kind, {"kind": "words", "at_most": n}, f"Use at most {n} words."
        case "least":
            n = random.choice((20, 25, 30, 35))
            return kind, {"kind": "words", "at_least": n}, f"Use at least {n} words."
        case "bullets":
            text = f'Write a list of exactly {n} points, each on a line of its own that begins with "- ".'
            return kind, _exactly(kind, n), text
        case "paragraphs":
            n = random.choice((2, 3))
            return kind, _exactly(kind, n), f"Write exactly {n} paragraphs, with an empty line between them."
        case "json":
            keys = random.choice(KEYS)
            listed = " and ".join(f'"{key}"' for key in keys)
            what = "the key" if len(keys) == 1 else "exactly the keys"
            return kind, {"kind": "json", "keys": list(keys)}, f"Answer with one JSON object that has {what} {listed}."
        case "lower":
            return kind, {"kind": "lower"}, "Use lower case letters only, with no capital letter anywhere."
        case "upper":
            return kind, {"kind": "upper"}, "WRITE EVERYTHING IN CAPITAL LETTERS."
        case "include":
            return kind, {"kind": "include", "phrases": pair}, f"Use the words {both}, in exactly this form."
        case "avoid":
            return kind, {"kind": "avoid", "phrases": pair}, f"Do not use the words {both}."
        case "repeat":
            text = f'Use the word "{word}", in exactly this form, at least {n} times.'
            return kind, {"kind": "repeat", "phrase": word, "at_least": n}, text
        case "starts":
            phrase = random.choice(STARTS)
            return kind, {"kind": "starts", "phrase": phrase}, f'Begin with the words "{phrase}"'
        case "ends":
            phrase = random.choice(ENDS)
            return kind, {"kind": "ends", "phrase": phrase}, f'End with the words "{phrase}"'
        case "quoted":
            return kind, {"kind": "quoted"}, "Put the whole text in double quotation marks."
        case "title":
            return kind, {"kind": "title"}, "Give the text a title in double angle brackets, such as <<My title>>."
        case "postscript":
            return kind, {"kind": "postscript", "mark": "P.S."}, 'Add a last line that begins with "P.S."'
        case "no_commas":
            return kind, {"kind": "no_commas"}, "Use no commas."
        case "language":
            code = random.choice(list(NAMES))
            return kind, {"kind": "language", "code": code}, f"Write in {NAMES[code]}."
    raise ValueError(f"no rule {kind!r}")


def _exactly(kind: str, n: int) -> Rule:
    return {"kind": kind, "at_least": n, "at_most": n}


@dataclass(frozen=True)
class _Draft:
    """A text that keeps every rule but `broken`."""

    topic: Topic
    rules: dict[str, Rule]
    broken: str | None = None

    def text(self) -> str:
        """Sentences first, then their arrangement, then what stands around them, then case."""
        text = self._around(self._arranged(self._sentences()))
        if self._keeps("lower"):
            text = text.lower()
        elif self._keeps("upper"):
            text = text.upper()
        if self._keeps("json"):
            *others, last = self.rules["json"]["keys"]
            text = json.dumps(dict.fromkeys(others, self.topic.name) | {last: text})
        return text

    def _keeps(self, kind: str) -> bool:
        return kind in self.rules and kind != self.broken

    def _sentences(self) -> list[str]:
        rules, words = self.rules, []
        if self._keeps("include") or self.broken == "avoid":
            words = rules["include" if "include" in rules else "avoid"]["phrases"]
        elif self._keeps("repeat"):
            words = [rules["repeat"]["phrase"]] * int(rules["repeat"]["at_least"])
        first = (f"It has to do with {' and with '.join(words)}.",) if words else ()
        body = [*first, *self.topic.sentences, *GENERIC]
        if self._keeps("language"):
            body = list(IN_LANGUAGE[rules["language"]["code"]]) * 2
        if self.broken == "no_commas":
            body[0] = body[0].replace(" ", ", ", 1)
        return body[: self._count()]

    def _count(self) -> int:
        """How many sentences the text has."""
        if shape := next((kind for kind in ("sentences", "bullets") if kind in self.rules), None):
            return int(self.rules[shape]["at_least"]) + (shape == self.broken) - self._keeps("ends")
        if "most" in self.rules:
            return 8 if self.broken == "most" else 1
        if "least" in self.rules:
            return 1 if self.broken == "least" else 7
        return 3

    def _arranged(self, sentences: list[str]) -> str:
        if "bullets" in self.rules:
            return "\n".join(f"- {sentence}" for sentence in sentences)
        if self._keeps("paragraphs"):
            n = self.rules["paragraphs"]["at_least"]
            return "\n\n".join(" ".join(sentences[start::n]) for start in range(n))
        return " ".join(sentences)

    def _around(self, text: str) -> str:
        if self._keeps("starts"):
            text = f"{self.rules['starts']['phrase']} {text}"
        if self._keeps("ends"):
            text = f"{text} {self.rules['ends']['phrase']}".strip()
        if self._keeps("title"):
            text = f"<<{self.topic.name.capitalize()}>>\n{text}"
        if self._keeps("postscript"):
            text = f"{text}\nP.S. Write soon."
        return f'"{text}"' if self._keeps("quoted") else text


SLICE = Slice(
    name="instructions",
    title="Following instructions",
    what="Every rule of the request that a program can check is kept.",
    clusters=tuple(TOPICS),
    levels=(1.0, 2.0, 3.0, 4.0),
    unit="rules",
    make=_make,
    context_tokens=lambda _: 450,
)
