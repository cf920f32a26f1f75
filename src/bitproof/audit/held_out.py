"""How often audits accused the reference on engines that no calibration had seen: what the benchmark found.

`bitproof/data/held_out.json` is written by `benchmarks/audit.py`, from the answers of real servers of a model whose
weights lie on no grid.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["rates_of"]

MANY = 10  # logprobs a token, from which on the figure of twenty stands for a test


def rates_of(test: str, *, top: int, alpha: float) -> str:
    """The rate of false alarms of a test, with the engines; empty where it was not measured at so strict a level."""
    access = {"top-logprobs": "top-20" if top >= MANY else "top-5"}.get(test, test)
    found = _found()
    figure = found["tests"].get(access)
    if figure is None or alpha > found["alpha"]:
        return ""
    return (
        f"False alarms on engines held out of the calibration: {figure['shares']}, of {figure['audits']:,} audits each"
        f" of {found['model']} at alpha {found['alpha']:g}. That was observed on these engines, and is no guarantee for"
        " others."
    )


@cache
def _found() -> dict[str, Any]:
    text = resources.files("bitproof.data").joinpath("held_out.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
