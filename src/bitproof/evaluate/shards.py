"""One run on several machines: each asks every n-th item of every subject, and one process puts it together.

::

    bitproof evaluate ladder --out run --shard 1/4      on one machine, and 2/4, 3/4, 4/4 on others
    bitproof evaluate ladder --out run                  takes in what they asked, asks for what is missing, and decides

A shard keeps its answers in a database of its own, `run/shards/1-of-4/run.sqlite`, so that no two processes write one
file. Answers are known by what made them: a shard that was asked with other options, threads or versions is refused.
"""

from __future__ import annotations

from pathlib import Path

from bitproof.errors import UsageError
from bitproof.evaluate.asking import Run
from bitproof.evaluate.hosts import Host
from bitproof.evaluate.plan import Plan
from bitproof.evaluate.runner import Budget
from bitproof.store.runs import FILE, Store
from bitproof.types import Progress

__all__ = ["Shard", "ask_shard", "take_in_shards"]

Shard = tuple[int, int]
"""(i, n): part i of n, counted from 1."""

FOLDER = "shards"


def ask_shard(
    place: Host,
    plan: Plan,
    *,
    out: Path,
    shard: Shard,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Path:
    """Ask one part of a run's items of every subject; gives the folder with the answers. Raises as `evaluate` does."""
    folder = shard_folder(out, shard)
    with Store(folder) as store, place:
        run = Run(store, place, plan, out=folder, budget=budget, progress=progress, shard=shard)
        run.lead()
        for target in (*run.variants, *run.floor):
            run.follow(target)
    return folder


def shard_folder(out: Path, shard: Shard) -> Path:
    """Where a shard keeps its answers."""
    return out / FOLDER / f"{shard[0]}-of-{shard[1]}"


def take_in_shards(store: Store, out: Path) -> None:
    """Add what shards asked to the run's own database.

    Raises UsageError where two of them, or the run itself, followed other plans or asked other engines.
    """
    for file in sorted(out.glob(f"{FOLDER}/*/{FILE}")):
        with Store(file.parent) as part:
            plans = store.fact("plan"), part.fact("plan")
            differing = [key for key in plans[1] if plans[0][key] != plans[1][key]] if all(plans) else []
            differing += [
                f"{key.removeprefix('engine of ').rpartition(' ')[0]}: {name}"
                for key, engine in part.facts("engine of ").items()
                if (ours := store.fact(key))
                for name in engine
                if engine[name] != ours[name]
            ]
            if differing:
                raise UsageError(
                    f"was asked otherwise than the rest of this run: its {', '.join(differing)} differ",
                    where=str(file.parent),
                    remedy="Remove that folder, or ask the shard again with the same options, versions and threads.",
                )
            store.take_in(part)
