"""Many answers graded: those that are code in several sandboxes at a time, the others one after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bitproof.evaluate.graders.registry import find_grader
from bitproof.types import Grade, Item, Response

__all__ = ["grade_all"]

IN_SANDBOX = "code"  # a grade of it is a process that runs; of the others, some microseconds of Python


def grade_all(pairs: Sequence[tuple[Item, Response]], *, threads: int | None = None) -> list[Grade]:
    """The grades of answers, in their order; `threads` for those that run in the sandbox (default: the processors)."""
    code = [number for number, (item, _) in enumerate(pairs) if item.grader == IN_SANDBOX]
    found = {
        number: find_grader(item.grader).grade(item, response)
        for number, (item, response) in enumerate(pairs)
        if item.grader != IN_SANDBOX
    }
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        grader = find_grader(IN_SANDBOX)
        found.update(zip(code, pool.map(lambda number: grader.grade(*pairs[number]), code), strict=True))
    return [found[number] for number in range(len(pairs))]
