"""Whole audits on cached answers, as a user runs them: decoys, 4-bit artifacts of another toolkit, and what it costs.

`audit` itself asks, over a generator that answers from the caches: with its preflight, its repeated questions and its
budget. A mixture sends a quarter of the requests to INT4, drawn anew in each audit.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.audit_cache import Replay
from benchmarks.audit_methods import Bench, setting_of
from benchmarks.common import ROOT, Figure
from bitproof.audit.audit import audit
from bitproof.audit.plan import AuditPlan, TestName
from bitproof.audit.profile import REFERENCE
from bitproof.audit.results import AuditReport
from bitproof.audit.standing import MIXED
from bitproof.engines.generation import Completion, OnCompletion, Request

ENGINES = ("vllm-batched", "llamacpp")
FINETUNES = ("decoy-finetune", "decoy-finetune-longer", "decoy-finetune-code")
DECOYS = ("decoy-template", "decoy-system", *FINETUNES, "decoy-sibling")
SHARE, OTHER = 0.25, "w4a16-rtn-g64"
UNKNOWN = ("gptq-other", "awq-other")
TESTS: dict[str, TestName] = {"top-20": "top-logprobs", "text": "text", "sampled": "sampled"}
TOKENS = 500
WHOLE = ("decoys-top-20", "decoys-text", "decoys-sampled", "unknown-4bit", "cost")


@dataclass
class Endpoint:
    """An endpoint that answers from caches: each request from one of `parts`, drawn by their shares."""

    parts: Sequence[tuple[float, Replay]]
    numbers: Sequence[int]  # the hold-out prompt of each probe of the profile
    seed: int
    name = "replay"
    version = ""

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self.abilities, self.settings = self.parts[0][1].abilities, dict[str, str | int]()

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer every request under its own key; of several samples, one at random."""
        for request in requests:
            _, replay = self._random.choices(self.parts, [share for share, _ in self.parts])[0]
            number, samples = self.numbers[int(request.key.partition(".")[0])], replay.settings["samples"]
            key = f"{number}.{self._random.randrange(int(samples))}" if request.temperature else str(number)
            found: list[Completion] = []
            replay.generate([replace(request, key=key)], found.append)
            on_completion(replace(found[0], key=request.key))


def endpoint(bench: Bench, engine: str, served: str, access: str, seed: int) -> Endpoint:
    """A class, or "decoy-mixed", behind an engine."""

    def replay(name: str) -> Replay:
        return _replay(bench.answers / engine / name / f"{setting_of(access)}.jsonl")

    parts = [(1.0, replay(REFERENCE if served == "decoy-mixed" else served))]
    if served == "decoy-mixed":
        parts = [(1 - SHARE, parts[0][1]), (SHARE, replay(OTHER))]
    return Endpoint(parts, bench.cached, seed)


@cache
def _replay(path: Path) -> Replay:
    return Replay(path)


def reports(
    bench: Bench, engine: str, served: str, access: str, n: int, *, max_tokens: int | None = None
) -> list[AuditReport]:
    """`n` audits, each of a seed of its own."""
    return [
        audit(
            endpoint(bench, engine, served, access, seed),  # type: ignore[arg-type]
            bench.profile,
            AuditPlan(test=TESTS[access], max_tokens=max_tokens, seed=seed),
        )
        for seed in range(n)
    ]


def named(report: AuditReport) -> bool:
    """Whether a precision is named that is not the reference's."""
    other = report.closest[:1] and report.closest[0] not in (MIXED, REFERENCE, *report.equals)
    return report.outcome == "inconsistent" and bool(other)


def recognised(report: AuditReport) -> str:
    """What an audit says of an endpoint that is no precision; empty where it says nothing of the kind."""
    said = " ".join((*report.findings, *report.missing))
    if named(report):
        return ""
    if "prompt tokens where" in said:
        return "not this prompt"
    if report.closest[:1] == (MIXED,) or "more than one model" in said:
        return "more than one"
    if report.sampler:
        return "another sampler"
    return "not this model" if report.outcome == "inconsistent" and not report.closest else ""


def whole_figure(bench: Bench, audits: int, what: str) -> list[Figure]:
    """The figures of `WHOLE`."""
    if what == "cost":
        return costs(bench, audits)
    if what == "unknown-4bit":
        return unknown(bench, audits)
    access = what.removeprefix("decoys-")
    served = ("decoy-temperature",) if access == "sampled" else (*DECOYS, "decoy-mixed")
    return decoys(bench, max(20, audits * 3 // 20), access, served)


def decoys(bench: Bench, n: int, access: str, served: Sequence[str]) -> list[Figure]:
    """How often a decoy is named a precision, and how often it is recognised: the worst one of each."""
    found = {
        (name, engine): reports(bench, engine, name, access, n, max_tokens=TOKENS)
        for name in served
        for engine in ENGINES
        if bench.there(engine, REFERENCE if name == "decoy-mixed" else name, access)
        and (name != "decoy-mixed" or bench.there(engine, OTHER, access))
    }
    missing = sorted({*served} - {name for name, _ in found})
    rest = f"; not served: {', '.join(missing)}" if missing else ""
    figures = []
    kinds: tuple[tuple[str, str, str, Callable[[AuditReport], object], Callable[[Iterable[float]], float]], ...] = (
        ("named", "decoys that are named a precision", "at most 0.01", named, max),
        ("recognised", "decoys that are recognised as what they are no precision of", "at least 0.9", recognised, min),
    )
    for id, what, goal, of, worst in kinds:
        rates = {key: float(np.mean([bool(of(report)) for report in each])) for key, each in found.items()}
        what = f"{what}, {access}, at most {TOKENS} tokens, {n} audits each, the worst decoy"
        common: dict[str, Any] = {"id": f"decoys-{id}-{access}", "what": what, "unit": "share", "goal": goal}
        if not rates:
            figures.append(Figure(**common, value=None, note="not measured: not served"))
            continue
        value = worst(rates.values())
        met = value <= 0.01 if worst is max else value >= 0.9
        note = "; ".join(f"{name} in {engine} {rate:.3f}" for (name, engine), rate in rates.items()) + rest
        figures.append(Figure(**common, value=value, met=met, interval=wilson(value, n), note=note))
    return figures


def unknown(bench: Bench, audits: int) -> list[Figure]:
    """GPTQ and AWQ that another toolkit made on other text: found, and of how many bits."""
    n = max(20, audits // 10)
    found = {
        (name, engine): reports(bench, engine, name, "text", n, max_tokens=50)
        for name in UNKNOWN
        for engine in ENGINES
        if bench.there(engine, name, "text")
    }
    if not found:
        return [Figure(id="unknown-4bit", what="found", value=None, unit="share", note="not measured: not served")]
    rates = {key: float(np.mean([one.outcome == "inconsistent" for one in each])) for key, each in found.items()}
    read = {key: [one.meter.bits for one in each if one.meter and one.meter.bits] for key, each in found.items()}
    within = {key: float(np.mean([3 <= value <= 5 for value in each])) for key, each in read.items()}

    def said(values: dict[tuple[str, str], float]) -> str:
        return "; ".join(f"{name} in {engine} {value:.3f}" for (name, engine), value in values.items())

    least, near = min(rates.values()), min(within.values())
    medians = "; ".join(f"{name} in {engine} {np.median(each):.2f}" for (name, engine), each in read.items())
    what = "4-bit artifacts of another toolkit on other text"
    return [
        Figure(
            id="unknown-4bit-found",
            what=f"{what}: found with 50 tokens of text, {n} audits each, the worse",
            value=least,
            unit="share",
            goal="at least 0.95",
            met=least >= 0.95,
            interval=wilson(least, n),
            note=said(rates),
        ),
        Figure(
            id="unknown-4bit-bits",
            what=f"{what}: effective bits between 3 and 5 with 50 tokens, the worse",
            value=near,
            unit="share",
            goal="at least 0.9",
            met=near >= 0.9,
            interval=wilson(near, n),
            note=f"{said(within)}; medians {medians}",
        ),
    ]


def costs(bench: Bench, audits: int) -> list[Figure]:
    """Tokens and local seconds of whole audits of the reference."""
    figures = []
    for access, goal in (("top-20", 60), ("text", 2000), ("sampled", 5000)):
        engines = [engine for engine in ENGINES if bench.there(engine, REFERENCE, access)]
        if not engines:
            continue
        spent = {
            engine: [one.answer_tokens for one in reports(bench, engine, REFERENCE, access, max(20, audits // 50))]
            for engine in engines
        }
        quantiles = {engine: float(np.quantile(each, 0.95)) for engine, each in spent.items()}
        worst = max(quantiles.values())
        figures.append(
            Figure(
                id=f"cost-{access}",
                what=f"answer tokens of a whole audit of the reference, {access}, 95 % of audits, worst engine",
                value=worst,
                unit="tokens",
                goal=f"at most {goal:,}",
                met=worst <= goal,
                note="; ".join(f"{engine} {value:.0f}" for engine, value in quantiles.items()),
            )
        )
    seconds = [_alone(bench, access) for access in TESTS if bench.there(ENGINES[0], REFERENCE, access)]
    figures.append(
        Figure(
            id="cost-local",
            what="local seconds of an audit, from starting Python to its report, answers at hand, the slowest test",
            value=max(seconds),
            unit="s",
            goal="at most 120",
            met=max(seconds) <= 120,
            note="with a profile that is made once: a pass of every model in four arithmetics; "
            + ", ".join(f"{access} {value:.1f} s" for access, value in zip(TESTS, seconds, strict=False)),
        )
    )
    return figures


def _alone(bench: Bench, access: str) -> float:
    """Seconds of one audit in a process of its own."""
    began = time.monotonic()
    code = (
        "import sys; from pathlib import Path; from benchmarks.audit_methods import Bench;"
        "from benchmarks.audit_whole import reports; bench = Bench(Path(sys.argv[1]), Path(sys.argv[2]));"
        f"reports(bench, {ENGINES[0]!r}, {REFERENCE!r}, {access!r}, 1)"
    )
    subprocess.run([sys.executable, "-c", code, str(bench.file), str(bench.answers)], cwd=ROOT, check=True)
    return time.monotonic() - began


def wilson(rate: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share of `n` audits."""
    z = 1.96
    middle, half = rate + z * z / (2 * n), z * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))
