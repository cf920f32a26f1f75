"""Instructions that can be verified: every constraint of an item is kept, or the answer counts as wrong.

The idea is IFEval's (Zhou et al. 2023, arXiv 2311.07911): ask for what a program can check. `gold` is
`{"constraints": [{"kind": "words", "at_most": 20}, ...]}`; the kinds and what each takes stand in `KINDS`. The reading
is strict on content and tolerant of form: markdown around words does not count as words, a JSON answer may stand in a
code fence, phrases are compared without regard to case. Differences from IFEval's own checks: words are split at
blanks, so that "don't" is one; sentences are split by rule, not by a trained model; an empty answer keeps nothing; of
its "loose" reading only the markdown is taken over, not the dropping of first and last lines.

`score` is 1 where all are kept; `parts` holds the share kept of each kind, and `kept` that of all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.language_gate import incoherence
from bitproof.evaluate.graders.languages import LANGUAGES, language_of
from bitproof.evaluate.graders.texts import (
    bullets_of,
    has_phrase,
    paragraphs_of,
    plain,
    sentences_of,
    straight,
    times,
    unwrapped,
)
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "KINDS", "Kind", "fault", "kept"]

Arguments = dict[str, Any]
_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
_FENCED = re.compile(r"^```[\w+-]*\s*\n(.*?)\n?```$", re.DOTALL)
_HIGHLIGHT = re.compile(r"\*\*[^\n*]*[^\s*][^\n*]*\*\*|\*[^\n*]*[^\s*][^\n*]*\*")
_SIX_STARS = re.compile(r"\*{6}")


@dataclass(frozen=True)
class Kind:
    """One kind of constraint: its check of a text, and the types of the arguments it takes."""

    check: Callable[[str, Arguments], bool]
    needs: dict[str, type] = field(default_factory=dict)
    takes: dict[str, type] = field(default_factory=dict)
    counts: bool = False  # takes at_least and at_most, of which one must be there


def kept(constraint: Arguments, text: str) -> bool:
    """Whether the text keeps one constraint; nothing is kept by an empty text."""
    return bool(text.strip()) and KINDS[constraint["kind"]].check(text, constraint)


def fault(constraint: object) -> str | None:
    """What is wrong with a constraint as someone wrote it, or None."""
    if not isinstance(constraint, dict) or constraint.get("kind") not in list(KINDS):
        return f"{constraint!r} is no constraint with a known kind; there are: {', '.join(sorted(KINDS))}"
    kind = KINDS[constraint["kind"]]
    counts: dict[str, type] = {"at_least": int, "at_most": int} if kind.counts else {}
    known = kind.needs | kind.takes | counts
    for name, value in constraint.items():
        if name != "kind" and (name not in known or not isinstance(value, known[name]) or isinstance(value, bool)):
            takes = ", ".join(f"{key} ({type_.__name__})" for key, type_ in known.items()) or "no arguments"
            return f"constraint {constraint['kind']!r}: {name}: {value!r} is not what it takes: {takes}"
    if not all(isinstance(phrase, str) for phrase in (*constraint.get("phrases", ()), *constraint.get("keys", ()))):
        return f"constraint {constraint['kind']!r}: phrases and keys are lists of strings"
    missing = [name for name in kind.needs if name not in constraint]
    if missing or (kind.counts and not constraint.keys() & counts.keys()):
        return f"constraint {constraint['kind']!r} needs {' and '.join(missing) or 'at_least or at_most'}"
    if constraint["kind"] == "language" and constraint["code"] not in LANGUAGES:
        return f"language {constraint['code']!r} cannot be told; these can: {', '.join(sorted(LANGUAGES))}"
    return None


def _grade(item: Item, response: Response) -> Grade:
    constraints: list[Arguments] = item.gold["constraints"]
    results = [(constraint["kind"], kept(constraint, response.text)) for constraint in constraints]
    parts = {"kept": sum(ok for _, ok in results) / len(results)}
    for kind in dict(results):
        of_kind = [ok for other, ok in results if other == kind]
        parts[kind] = sum(of_kind) / len(of_kind)
    broken = ", ".join(kind for kind, ok in results if not ok)
    return Grade(score=float(all(ok for _, ok in results)), parts=parts, note=f"not kept: {broken}" if broken else "")


def _within(count: int, constraint: Arguments) -> bool:
    return bool(constraint.get("at_least", 0) <= count <= constraint.get("at_most", count))


def _counted(count: Callable[[str], int]) -> Kind:
    return Kind(lambda text, constraint: _within(count(text), constraint), counts=True)


def _n_words(text: str) -> int:
    return len(_WORD.findall(plain(text)))


def _n_capitals(text: str) -> int:
    return sum(word.isupper() for word in _WORD.findall(plain(text)))


def _has_postscript(text: str, marker: str) -> bool:
    return bool(re.search(rf"^\s*{re.escape(marker)}\s*\S", plain(text), re.IGNORECASE | re.MULTILINE))


def _lower(text: str, _: Arguments) -> bool:
    return not any(map(str.isupper, text)) and any(map(str.islower, text))


def _upper(text: str, _: Arguments) -> bool:
    return not any(map(str.islower, _FENCED.sub(r"\1", text.strip()))) and any(map(str.isupper, text))


def _starts(text: str, constraint: Arguments) -> bool:
    return _folded(unwrapped(text)).startswith(_folded(constraint["phrase"]))


def _ends(text: str, constraint: Arguments) -> bool:
    found, wanted = _folded(unwrapped(text)), _folded(constraint["phrase"])
    return found.endswith(wanted) or found.rstrip(".!? ").endswith(wanted)


def _folded(text: str) -> str:
    return " ".join(straight(text).casefold().split())


def _letter(text: str, constraint: Arguments) -> bool:
    return _within(text.casefold().count(constraint["letter"].casefold()), constraint)


def _json(text: str, constraint: Arguments) -> bool:
    try:
        value = json.loads(_FENCED.sub(r"\1", text.strip()))
    except (ValueError, RecursionError):
        return False
    return "keys" not in constraint or (isinstance(value, dict) and set(value) == set(constraint["keys"]))


def _quoted(text: str, _: Arguments) -> bool:
    text = straight(plain(text))
    return len(text) > 2 and text[0] == text[-1] == '"'


def _title(text: str, _: Arguments) -> bool:
    return any(title.strip() for title in re.findall(r"<<([^<>\n]+)>>", text))


def _sections(text: str, constraint: Arguments) -> bool:
    found = re.findall(rf"(?<!\w){re.escape(constraint['mark'])}\s*(?:\d+|[IVX]+)\b", text, re.IGNORECASE)
    return _within(len(found), constraint)


def _paragraph(text: str, constraint: Arguments) -> bool:
    paragraphs = paragraphs_of(text)
    number, wanted = constraint["number"], constraint["first"]
    if len(paragraphs) != constraint["paragraphs"] or not 0 < number <= len(paragraphs):
        return False
    return bool(re.match(rf"{re.escape(_folded(wanted))}(?!\w)", _folded(unwrapped(paragraphs[number - 1]))))


def _two(text: str, _: Arguments) -> bool:
    answers = [part.strip() for part in _SIX_STARS.split(text) if part.strip()]
    return len(answers) == 2 and answers[0] != answers[1]


KINDS: dict[str, Kind] = {
    "words": _counted(_n_words),
    "sentences": _counted(lambda text: len(sentences_of(text))),
    "paragraphs": _counted(lambda text: len(paragraphs_of(text))),
    "bullets": _counted(lambda text: len(bullets_of(text))),
    "capital_words": _counted(_n_capitals),
    "highlights": _counted(lambda text: len(_HIGHLIGHT.findall(text))),
    "placeholders": _counted(lambda text: len(re.findall(r"\[[^\[\]\n]+\]", text))),
    "sections": Kind(_sections, {"mark": str}, counts=True),
    "letter": Kind(_letter, {"letter": str}, counts=True),
    "repeat": Kind(lambda text, c: _within(times(plain(text), c["phrase"]), c), {"phrase": str}, counts=True),
    "include": Kind(lambda text, c: all(has_phrase(plain(text), phrase) for phrase in c["phrases"]), {"phrases": list}),
    "avoid": Kind(lambda text, c: not any(has_phrase(plain(text), p) for p in c["phrases"]), {"phrases": list}),
    "one_of": Kind(lambda text, c: any(_folded(p) in _folded(text) for p in c["phrases"]), {"phrases": list}),
    "lower": Kind(_lower),
    "upper": Kind(_upper),
    "starts": Kind(_starts, {"phrase": str}),
    "ends": Kind(_ends, {"phrase": str}),
    "no_commas": Kind(lambda text, _: not re.search("[,，、،]", text)),
    "quoted": Kind(_quoted),
    "title": Kind(_title),
    "postscript": Kind(lambda text, c: _has_postscript(text, c["mark"]), {"mark": str}),
    "paragraph": Kind(_paragraph, {"paragraphs": int, "number": int, "first": str}),
    "two_answers": Kind(_two),
    "json": Kind(_json, takes={"keys": list}),
    "language": Kind(lambda text, c: language_of(plain(text)) == c["code"], {"code": str}),
    "coherent": Kind(lambda text, _: incoherence(text) is None),
}
GRADER = Grader(name="constraints", version=2, judge=_grade)
