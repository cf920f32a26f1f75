"""What a run leaves in its folder beside its database, for reports that start no engine.

evaluation.json         every figure
ladder.json             the divergence of the whole ladder, where one was measured
speed.json              speed under load, where `bitproof bench` was given the same folder
answers/SUBJECT.jsonl   what the reference, a variant or a noise floor answered: one line an item, see `Answered`
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitproof.errors import UsageError
from bitproof.evaluate.plain import AGAIN, parse, read_as, read_json, to_plain
from bitproof.evaluate.results import Evaluation
from bitproof.store.files import write_aside
from bitproof.types import Grade, Item, ItemPair, NotMeasured, Response

if TYPE_CHECKING:
    from bitproof.engines.generation import Forced
    from bitproof.evaluate.runner import Answers

__all__ = [
    "ANSWERS",
    "EVALUATION",
    "LADDER",
    "SPEED",
    "Answered",
    "Given",
    "file_name",
    "item_pairs",
    "read_answers",
    "read_evaluation",
    "write_answers",
]

EVALUATION, LADDER, SPEED, ANSWERS = "evaluation.json", "ladder.json", "speed.json", "answers"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The reference's own first answer, given to a subject token by token: means over its tokens."""

    n_tokens: int
    logprob_nats: float
    logprob_change_nats: float | NotMeasured  # less the reference's own
    kl_nats: float | NotMeasured
    top1_flips: float | NotMeasured  # share of tokens that are not the subject's own choice


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An item as one subject answered it, and how that was graded.

    `prompt_sha256` is of the JSON list of the token ids of its first prompt; None where the engine took messages.
    `first_change` is the number of the first token that differs from the reference's first answer, from 0.
    `completions` are the keys of the answers in the run's database.
    """

    subject: str
    item: Item
    response: Response
    grade: Grade
    grader_version: int
    prompt_sha256: str | None
    given: Given | NotMeasured
    first_change: int | None
    margin_nats: float | NotMeasured
    completions: tuple[str, ...] = ()


def write_answers(
    folder: Path,
    items: Sequence[Item],
    answers: Answers,
    grades: Mapping[str, Grade],
    *,
    reference: Answers | None = None,
    keys: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write what a subject answered into `folder`, one line for each item it was asked; returns the file.

    `reference` holds the reference's answers, None where these are they. `keys` are those of the completions by item.
    The file is written aside and renamed.
    """
    from bitproof.evaluate.graders.registry import find_grader

    path = _path(folder, answers.subject)

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            for item in items:
                if item.id in answers.responses and item.id in grades:
                    record = _answered(
                        item,
                        answers,
                        reference or answers,
                        grade=grades[item.id],
                        grader_version=find_grader(item.grader).version,
                        completions=tuple((keys or {}).get(item.id, ())),
                    )
                    line = json.dumps(to_plain(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
                    file.write(line.encode("utf-8", "backslashreplace") + b"\n")  # half a surrogate stays an escape

    write_aside(path, write)
    return path


def file_name(name: str) -> str:
    """A name of anything as a name of a file: the same where it is fit for one, else with a digest of it."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[:80]
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return plain if plain and plain == name else f"{plain}-{digest}".lstrip("-")


def _path(folder: Path, subject: str) -> Path:
    return folder / ANSWERS / f"{file_name(subject)}.jsonl"


def _answered(item: Item, answers: Answers, reference: Answers, **graded: Any) -> Answered:
    from bitproof.evaluate.comparison import first_change

    response, first = answers.responses[item.id], reference.responses.get(item.id)
    prompt = answers.prompts.get(item.id)
    return Answered(
        subject=answers.subject,
        item=item,
        response=response,
        prompt_sha256=hashlib.sha256(json.dumps(prompt).encode()).hexdigest() if prompt else None,
        given=_given(answers.forced.get(item.id), reference.forced.get(item.id)),
        first_change=None if first is None else first_change(first.token_ids, response.token_ids),
        margin_nats=answers.margins_nats.get(item.id, NotMeasured("not needed, or this engine cannot score")),
        **graded,
    )


def _given(forced: Forced | None, reference: Forced | None) -> Given | NotMeasured:
    if forced is None or not len(forced.logprobs_nats):
        return NotMeasured("this engine does not score given tokens")
    unknown = NotMeasured("this engine gives no distributions")
    logprob = float(forced.logprobs_nats.mean())
    return Given(
        n_tokens=len(forced.logprobs_nats),
        logprob_nats=logprob,
        logprob_change_nats=logprob - float(reference.logprobs_nats.mean())
        if reference is not None and len(reference.logprobs_nats) == len(forced.logprobs_nats)
        else NotMeasured("the reference's own are not known"),
        kl_nats=unknown if forced.kl_nats is None else float(forced.kl_nats.mean()),
        top1_flips=unknown if forced.same_top is None else 1 - float(forced.same_top.mean()),
    )


def read_evaluation(folder: Path) -> Evaluation:
    """The figures of a finished run; raises UsageError where they are not there, or damaged."""
    path = folder / EVALUATION
    found = read_as(Evaluation, read_json(path), where=str(path))
    for curve in (curve for row in (*found.variants, *found.noise) for curve in row.curves):
        if {len(curve.reference), len(curve.difference), len(curve.kl_nats)} != {len(curve.levels)}:
            what = f"the curve of {curve.variant[:80]!r} in {curve.slice[:80]!r} has not one figure for each level"
            raise UsageError(what, where=str(path), remedy=AGAIN)
    return found


def read_answers(folder: Path, subject: str) -> list[Answered]:
    """What a subject answered, in the order of the suite; raises UsageError where it is not there, or damaged."""
    path = _path(folder, subject)
    if not path.is_file():
        raise UsageError(
            "there is no such file", where=str(path), remedy="This report needs every answer, which a run keeps there."
        )
    lines = path.read_bytes().splitlines()
    places = [f"{path}, line {number}" for number in range(1, len(lines) + 1)]
    found = [
        read_as(Answered, parse(line, where=where), where=where) for line, where in zip(lines, places, strict=True)
    ]
    for one, where in zip(found, places, strict=True):
        if one.subject != subject:
            raise UsageError(f"is an answer of {one.subject[:80]!r}", where=where, remedy=AGAIN)
    return found


def item_pairs(reference: Sequence[Answered], variant: Sequence[Answered]) -> Iterator[ItemPair]:
    """The items that both answered and that could be graded for both."""
    by_id = {one.item.id: one for one in reference}
    for second in variant:
        first = by_id.get(second.item.id)
        if first is None or isinstance(first.grade.score, NotMeasured) or isinstance(second.grade.score, NotMeasured):
            continue
        given = second.given
        kl = given if isinstance(given, NotMeasured) else given.kl_nats
        yield ItemPair(
            item=second.item,
            reference=first.response,
            variant=second.response,
            reference_score=first.grade.score,
            variant_score=second.grade.score,
            kl_nats=kl if isinstance(given, NotMeasured) or isinstance(kl, NotMeasured) else given.n_tokens * kl,
            first_change=second.first_change,
        )
