"""Per-token results as Parquet: one row for each token of the reference's own answers under each other subject.

Columns: subject, item, slice, position (from 0), token_id, reference_logprob_nats, logprob_nats, kl_nats and flip
(whether the token is not the subject's own choice); null where an engine did not say. Needs `pyarrow` (extra
`parquet`), and the run's database, which alone holds single tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bitproof.errors import MissingPartError, UsageError
from bitproof.evaluate.records import Answered, read_answers
from bitproof.store.runs import FILE, Store

__all__ = ["write_tokens"]


def write_tokens(folder: Path, reference: str, subjects: Sequence[str], path: Path) -> None:
    """Write the tokens of a run's subjects at `path`, one row group a subject.

    Raises MissingPartError where pyarrow is not installed, UsageError where the run kept no tokens.
    """
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingPartError(
            "Parquet needs the package pyarrow, which is not installed",
            remedy="Install it: pip install 'bitproof[parquet]'",
        ) from error
    if not (folder / FILE).is_file():
        raise UsageError("there is no such file", where=str(folder / FILE), remedy="Only it holds single tokens.")
    text, number, real = arrow.dictionary(arrow.int32(), arrow.string()), arrow.int32(), arrow.float64()
    names = {"subject": text, "item": text, "slice": text, "position": number, "token_id": number}
    figures = dict.fromkeys(("reference_logprob_nats", "logprob_nats", "kl_nats"), real)
    schema = arrow.schema(names | figures | {"flip": arrow.bool_()})
    expected = {one.item.id: one for one in read_answers(folder, reference)}
    with Store(folder) as store, parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for subject in subjects:
            rows = list(_rows(store, expected, read_answers(folder, subject)))
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def _rows(store: Store, expected: dict[str, Answered], found: Sequence[Answered]) -> Iterator[dict[str, Any]]:
    both = [(expected[one.item.id], one) for one in found if one.item.id in expected]
    known = store.completions(one.completions[0] for pair in both for one in pair if one.completions)
    for reference, one in both:
        own, forced = (_forced(known, side) for side in (reference, one))
        if forced is None:
            continue
        n = len(forced["logprobs_nats"])
        ids = reference.response.token_ids[0] if reference.response.token_ids else ()
        logprobs = own["logprobs_nats"] if own else ()
        for position in range(n):
            same = _at(forced["same_top"], position, n)
            yield {
                "subject": one.subject,
                "item": one.item.id,
                "slice": next(iter(one.item.slices), None),
                "position": position,
                "token_id": _at(ids, position, n),
                "reference_logprob_nats": _at(logprobs, position, n),
                "logprob_nats": forced["logprobs_nats"][position],
                "kl_nats": _at(forced["kl_nats"], position, n),
                "flip": None if same is None else not same,
            }


def _forced(known: dict[str, dict[str, Any]], one: Answered) -> dict[str, Any] | None:
    return known.get(one.completions[0], {}).get("forced") if one.completions else None


def _at(values: Sequence[Any] | None, position: int, n: int) -> Any:
    """One of as many values as there are tokens, or None."""
    return values[position] if values and len(values) == n else None
