"""Guided decoding against free decoding on the same items: what the schema repairs, and what it costs.

Guiding makes an answer valid; whether it also makes it right is another matter, and it can make a right answer wrong
(the likeliest valid token is not the likeliest token: Tam et al., arXiv 2408.02442). So both are counted, paired by
item.

Items are asked in blocks, free first in one block and guided first in the next, so that neither has the warmer cache
or the quieter machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bitproof.engines.generation import Completion, Request
from bitproof.engines.http import HttpGenerator
from bitproof.errors import MissingPartError
from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.speed_client import Meter
from bitproof.evaluate.speed_results import Figure, GuidedEffect
from bitproof.evaluate.suite.registry import find_slice
from bitproof.evaluate.suite.slice import make_items
from bitproof.stats.cluster import proportion, ratio_of_sums
from bitproof.types import Grade, Item, NotMeasured, Progress, Response

__all__ = ["JSON_SLICES", "Graded", "ask_both_ways", "guided_effect", "json_items", "request_of"]

JSON_SLICES = ("json", "json-real")
BLOCK = 16  # items
Graded = Mapping[str, tuple[Response, Grade]]
"""Item id -> its answer and grade."""


def json_items(n: int, *, seed: int) -> tuple[dict[str, list[Item]], dict[str, str]]:
    """`n` items of each JSON slice, by its name; and the slices that cannot be made here, with the reason."""
    items, left_out = {}, {}
    for name in JSON_SLICES:
        try:
            items[name] = make_items(find_slice(name), n, seed=seed)
        except MissingPartError as error:
            left_out[name] = str(error)
    return items, left_out


def ask_both_ways(
    engine: HttpGenerator,
    items: Mapping[str, Sequence[Item]],
    meter: Meter,
    name: str,
    progress: Progress | None = None,
) -> list[GuidedEffect]:
    """Every item with and without its schema; the effect on each slice, as far as the budget went.

    A request is tried once more where its connection broke: at temperature 0 nothing else would change.
    """
    engine.client.patience = replace(engine.client.patience, attempts=2)
    done, total, effects = 0, 2 * sum(map(len, items.values())), list[GuidedEffect]()

    def answered(item: Item) -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total, f"{item.slices[0]}, guided and free")

    for slice_, asked in items.items():
        free: dict[str, tuple[Response, Grade]] = {}
        guided: dict[str, tuple[Response, Grade]] = {}
        for number, start in enumerate(range(0, len(asked), BLOCK)):
            if meter.spent():
                break
            block = asked[start : start + BLOCK]
            for found, by_schema in ((free, False), (guided, True))[:: -1 if number % 2 else 1]:
                found |= _answers(engine, block, by_schema, meter, answered)
        effects.append(guided_effect(asked, free, guided, target=name, slice_=slice_))
    return effects


def _answers(
    engine: HttpGenerator, block: Sequence[Item], by_schema: bool, meter: Meter, answered: Callable[[Item], None]
) -> Graded:
    by_key = {item.id: item for item in block}
    found: dict[str, tuple[Response, Grade]] = {}

    def keep(completion: Completion) -> None:
        response, item = _response(completion), by_key[completion.key]
        meter.spend_tokens(completion.prompt_tokens + completion.answer_tokens)
        found[item.id] = response, find_grader(item.grader).grade(item, response)
        answered(item)

    requests = (request_of(item, by_schema=by_schema) for item in block if not meter.spent())
    engine.generate(requests, keep)
    return found


def request_of(item: Item, *, by_schema: bool) -> Request:
    """An item as it is asked: at temperature 0, its schema given to the engine or not."""
    schema = item.schema if by_schema else None
    return Request(key=item.id, messages=item.messages, max_tokens=item.max_tokens, schema=schema)


def _response(completion: Completion) -> Response:
    return Response(
        texts=(completion.text,),
        finish=completion.finish,
        prompt_tokens=completion.prompt_tokens,
        answer_tokens=completion.answer_tokens,
        first_token_s=completion.first_token_s,
        total_s=completion.total_s,
        error=completion.error,
    )


def guided_effect(
    items: Sequence[Item], free: Graded, guided: Graded, *, target: str, slice_: str, valid: str = "valid_schema"
) -> GuidedEffect:
    """Compare graded answers with and without guiding; `valid` is the part of a grade that says so.

    Items that were not asked both ways (a budget was spent) do not count.
    """
    asked = [item for item in items if item.id in free and item.id in guided]
    pairs = [
        (item, *free[item.id], *guided[item.id])
        for item in asked
        if _graded(*free[item.id]) and _graded(*guided[item.id])
    ]
    clusters = [item.cluster for item, *_ in pairs]
    before = [_score(grade) for _, _, grade, _, _ in pairs]
    after = [_score(grade) for *_, grade in pairs]
    timed = [(item, a, b) for item, a, _, b, _ in pairs if a.total_s and b.total_s]
    no_times = NotMeasured("the engine tells no times")
    return GuidedEffect(
        target=target,
        slice=slice_,
        n_items=len(pairs),
        n_clusters=len(set(clusters)),
        valid_free=_share([grade.parts.get(valid) for _, _, grade, _, _ in pairs], clusters, valid),
        valid_guided=_share([grade.parts.get(valid) for *_, grade in pairs], clusters, valid),
        score_free=_share(before, clusters, "score"),
        score_guided=_share(after, clusters, "score"),
        score_difference=_per_cluster(
            [b - a for a, b in zip(before, after, strict=True)], [1.0] * len(pairs), clusters
        ),
        repaired=sum(a < 0.5 <= b for a, b in zip(before, after, strict=True)),
        broken=sum(b < 0.5 <= a for a, b in zip(before, after, strict=True)),
        time_ratio=_ratio(timed, lambda response: response.total_s or 0.0) if timed else no_times,
        token_ratio=_ratio([(item, a, b) for item, a, _, b, _ in pairs], lambda one: float(one.answer_tokens)),
        token_time_ratio=_ratio([(item, a, b) for item, a, b in timed if _token_s(a) and _token_s(b)], _token_s)
        if any(response.first_token_s for _, response, _ in timed)
        else NotMeasured("the engine does not stream"),
        cut_free=sum(response.finish == "length" for _, response, *_ in pairs),
        cut_guided=sum(response.finish == "length" for *_, response, _ in pairs),
        failed=len(asked) - len(pairs),
        failures=dict(Counter(_failures(free, guided)).most_common(3)),
    )


def _failures(*answers: Graded) -> Iterator[str]:
    for found in answers:
        for response, grade in found.values():
            if not _graded(response, grade):
                yield response.error or (grade.score.reason if isinstance(grade.score, NotMeasured) else "")


def _graded(response: Response, grade: Grade) -> bool:
    return response.finish != "error" and not isinstance(grade.score, NotMeasured)


def _score(grade: Grade) -> float:
    return 0.0 if isinstance(grade.score, NotMeasured) else grade.score


def _token_s(response: Response) -> float:
    """Seconds per token after the first, which waits for the prompt and for the schema; 0 where not known."""
    if response.total_s is None or response.first_token_s is None or response.answer_tokens < 2:
        return 0.0
    return (response.total_s - response.first_token_s) / (response.answer_tokens - 1)


def _share(parts: Sequence[float | None], clusters: Sequence[str], name: str) -> Figure:
    """The share of items whose part is 1; those of a cluster together."""
    counts: dict[str, list[float]] = {}
    for part, cluster in zip(parts, clusters, strict=True):
        if part is not None:
            held = counts.setdefault(cluster, [0.0, 0.0])
            held[0] += part >= 1
            held[1] += 1
    if not counts:
        return NotMeasured(f"no grade says {name!r}" if parts else "no item was answered both ways")
    return proportion([held[0] for held in counts.values()], [held[1] for held in counts.values()])


def _ratio(rows: Sequence[tuple[Item, Response, Response]], of: Callable[[Response], float]) -> Figure:
    """The sum over guided answers by the sum over free ones."""
    free, guided = [of(a) for _, a, _ in rows], [of(b) for *_, b in rows]
    if sum(free) <= 0:
        return NotMeasured("the free answers hold none")
    return _per_cluster(guided, free, [item.cluster for item, *_ in rows], scale="log")


def _per_cluster(
    sums: Sequence[float], counts: Sequence[float], clusters: Sequence[str], scale: Literal["linear", "log"] = "linear"
) -> Figure:
    if not sums:
        return NotMeasured("no item was answered both ways")
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    return ratio_of_sums(np.bincount(index, weights=sums), np.bincount(index, weights=counts), scale=scale)
