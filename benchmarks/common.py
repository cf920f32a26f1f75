"""What every benchmark shares: the machine, the clock, and the form of a result file.

A result file is `benchmarks/results/NAME.json`, one entry for each figure that was asked for, also those that fell
short; the tables in `docs/` are generated from these files.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitproof.store.machine import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

# every variable by which a numeric library takes its number of threads
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure that was asked for. `value` None means not measured, and `note` says why."""

    id: str
    what: str
    value: float | None
    unit: str
    goal: str = ""
    met: bool | None = None
    interval: tuple[float, float] | None = None
    peer: str | None = None
    peer_value: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.value is None and not self.note:
            raise ValueError(f"{self.id}: a figure without a value needs a note that says why")


def at_most(limit: float, *, id: str, what: str, value: float | None, unit: str, **rest: Any) -> Figure:
    """A figure that may not exceed `limit`; `rest` are further fields of Figure."""
    met = None if value is None else value <= limit
    return Figure(id=id, what=what, value=value, unit=unit, goal=f"at most {limit:g}", met=met, **rest)


def commit() -> str:
    """Commit of the working tree, with `+changes` where tracked files differ from it, results apart."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if changed else head


@dataclass
class Clock:
    """CPU seconds of a process, all its threads together."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def cpu_clock() -> Iterator[Clock]:
    """Measure the CPU time of a block, on one thread.

    Raises RuntimeError where torch would use more than one: start the process with the variables of ONE_THREAD, or call
    `torch.set_num_threads(1)` first. Time of subprocesses is not included.
    """
    import torch

    if torch.get_num_threads() != 1:
        raise RuntimeError(f"torch uses {torch.get_num_threads()} threads; a CPU figure is taken on one")
    clock, cpu, wall = Clock(), time.process_time(), time.perf_counter()
    yield clock
    clock.cpu_s, clock.wall_s = time.process_time() - cpu, time.perf_counter() - wall


def speed_gflops(size: int = 1024, repeats: int = 8) -> float:
    """Float32 matrix multiplication on one thread, 1e9 operations per CPU second, the best of `repeats`.

    CPU seconds depend on what else the machine does (shared caches, clock, neighbours on the same core): two figures
    are comparable only where this is about the same around both.
    """
    import torch

    left, right = torch.ones(size, size), torch.ones(size, size)
    best = math.inf
    for _ in range(repeats):
        with cpu_clock() as clock:
            torch.mm(left, right)
        best = min(best, clock.cpu_s)
    return 2 * size**3 / best / 1e9


def write_result(name: str, figures: Sequence[Figure], *, folder: Path = RESULTS) -> Path:
    """Write `folder`/NAME.json, whole or not at all; returns its path."""
    ids = [figure.id for figure in figures]
    if len(set(ids)) != len(ids):
        raise ValueError(f"{name}: an id stands twice in {ids}")
    result = {
        "name": name,
        "commit": commit(),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "figures": [asdict(figure) for figure in figures],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path, aside = folder / f"{name}.json", folder / f".{name}.json.new"
    aside.write_text(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    os.replace(aside, path)
    return path
