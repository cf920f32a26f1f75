"""What `bitproof audit` promises, measured on cached answers: writes benchmarks/results/audit.json.

    python -m benchmarks.audit_served --answers FOLDER              serve the dithered master, keep the answers
    python -m benchmarks.audit --profile FILE --answers FOLDER      audits drawn from them; prints and writes

The profile holds the hold-out prompts (`benchmarks.audit_methods.SEED`), its calibration other ones. Every figure is of
the worst of the engines that were held out, each by itself. What was not served yet is a figure without a value.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.audit_methods import Asked, Bench
from benchmarks.common import Figure, write_result
from bitproof.audit.meter import MOST_BITS, Meter
from bitproof.audit.profile import REFERENCE, read_profile

NAME = "audit"
HELD_OUT = ("vllm", "vllm-batched", "llamacpp")
NATIVE = "-native"
GROUPS = {
    "int4": (("w4a16-rtn-g64", "w4a16-rtn-g64-native", "nf4"), {"top-20": 5, "top-5": 5, "text": 30}),
    "fp8": (("fp8a16-rtn-channel", "fp8-rtn-channel"), {"top-20": 10, "top-5": 10, "text": 150}),
    "int8": (("w8a16-rtn-channel",), {"top-20": 30, "top-5": 50, "text": 600}),
    "w8a8": (("w8a8-rtn-channel",), {"top-20": 10, "top-5": 10, "text": 100}),
    "kv": (("bf16+kvfp8",), {"top-20": 20, "top-5": 30, "text": 400}),
}
CLASSES = (REFERENCE, *(served for classes, _ in GROUPS.values() for served in classes), "w6a16-rtn-g64")
IN_LADDER = {"nf4": "nf4-rtn"}
BITS = {f"w{bits}a16-rtn-g64": bits for bits in (3, 4, 5, 6)}
FOLDS = 10


@dataclass(frozen=True)
class Measured:
    """One figure of one class in one engine."""

    served: str
    engine: str
    value: float | None
    low: float
    high: float

    def __str__(self) -> str:
        value = "not reached" if self.value is None else f"{self.value:g}"
        return f"{self.served} in {self.engine} {value}"


def figures(bench: Bench, audits: int) -> Iterator[Figure]:
    """All of them, one after another."""
    for group, (classes, goals) in GROUPS.items():
        for access, goal in goals.items():
            yield tokens(bench, group, classes, access, goal, audits)
    yield from benign(bench, audits)
    yield naming(bench, "top-20", 20, 0.95, audits // 4)
    yield naming(bench, "top-5", 50, 0.90, audits // 4)
    yield from bits(bench, audits // 4)


def tokens(bench: Bench, group: str, classes: Sequence[str], access: str, goal: int, audits: int) -> Figure:
    """Tokens after which 95 % of audits have ruled the reference out."""
    found = [tokens_of(bench, served, engine, access, audits) for served, engine in there(bench, classes)]
    shown = "; ".join(map(str, found))
    what = f"output tokens to find {' or '.join(classes)}, {access}: 95 % power at 1 % false alarms"
    common = {"id": f"tokens-{group}-{access}", "what": what, "unit": "tokens", "goal": f"at most {goal}"}
    if not found:
        return Figure(**common, value=None, note="not measured: not served yet")  # type: ignore[arg-type]
    worst = max(found, key=lambda one: np.inf if one.value is None else one.value)
    if worst.value is None:
        return Figure(**common, value=None, met=False, note=f"power not reached: {shown}")  # type: ignore[arg-type]
    interval = (worst.low, worst.high)
    met = worst.value <= goal
    return Figure(**common, value=worst.value, met=met, interval=interval, note=shown)  # type: ignore[arg-type]


def tokens_of(bench: Bench, served: str, engine: str, access: str, audits: int) -> Measured:
    """With a jackknife interval over groups of prompts."""
    asked = bench.asked(engine, served, access)

    def of(some: Sequence[Asked], n: int) -> float:
        value = bench.audits(some, access, n=n).tokens
        return np.inf if value is None else value

    whole = of(asked, audits)
    low, high = jackknife(whole, asked, lambda some: of(some, max(100, audits // FOLDS)))
    return Measured(served, engine, whole if np.isfinite(whole) else None, max(1.0, low), high)


def benign(bench: Bench, audits: int) -> Iterator[Figure]:
    """How often the reference is accused, each access by itself, the worst engine."""
    for access in ("top-20", "top-5", "logprob", "text"):
        found = []
        for _, engine in there(bench, (REFERENCE,)):
            asked = bench.asked(engine, REFERENCE, access)
            rate = bench.audits(asked, access, n=audits).accused
            low, high = jackknife(
                rate, asked, lambda some, access=access: bench.audits(some, access, n=max(100, audits // FOLDS)).accused
            )
            found.append(Measured(REFERENCE, engine, rate, max(0.0, low), min(1.0, high)))
        common = {
            "id": f"benign-{access}",
            "what": f"false alarms of {audits} audits of the reference, {access}: an observation on these engines",
            "unit": "share",
            "goal": "at most 0.01",
        }
        if not found:
            yield Figure(**common, value=None, note="not measured: not served yet")  # type: ignore[arg-type]
            continue
        worst = max(found, key=lambda one: one.value or 0.0)
        met = (worst.value or 0.0) <= 0.01
        note = "; ".join(map(str, found))
        interval = (worst.low, worst.high)
        yield Figure(**common, value=worst.value, met=met, interval=interval, note=note)  # type: ignore[arg-type]


def naming(bench: Bench, access: str, after: int, goal: float, audits: int) -> Figure:
    """Right names after so many tokens, the worst class in the worst engine, and the mean in the note."""
    rates, missing = {}, set(CLASSES)
    for served, engine in there(bench, CLASSES):
        right = IN_LADDER.get(served, served.removesuffix(NATIVE))
        names = bench.named_after(bench.asked(engine, served, access), access, after, n=audits)
        rates[served, engine] = names[right] / audits
        missing.discard(served)
    what = f"right name after {after} tokens with {access}: mean over classes and engines"
    if not rates:
        return Figure(id=f"naming-{access}", what=what, value=None, unit="share", note="not measured: not served yet")
    mean = float(np.mean(list(rates.values())))
    below = [f"{served} in {engine} {rate:.2f}" for (served, engine), rate in rates.items() if rate < 0.9]
    note = f"classes below .9: {', '.join(below) or 'none'}"
    note += f"; not served yet: {', '.join(sorted(missing))}" if missing else ""
    return Figure(
        id=f"naming-{access}",
        what=what,
        value=mean,
        unit="share",
        goal=f"at least {goal:g}, every class at least 0.9",
        met=mean >= goal and not below and not missing,
        note=note,
    )


def bits(bench: Bench, audits: int) -> Iterator[Figure]:
    """Effective bits from 300 greedy tokens of text."""
    meter, within, covered, rest = Meter(bench.profile), [], [], []
    random = np.random.default_rng(0)
    for served, engine in there(bench, (*BITS, REFERENCE, "w8a16-rtn-g64")):
        asked = bench.asked(engine, served, "text")
        near, holds = [], []
        for _ in range(audits):
            readings, cost = [], 0
            for i in random.permutation(len(asked)):
                readings += asked[i].readings
                cost += asked[i].cost
                if cost >= 300:
                    break
            read = meter.read(readings)
            assert read is not None
            assert read.bits is not None
            assert read.bits_interval is not None
            true = BITS.get(served, MOST_BITS)
            near.append(abs(read.bits - true) <= 0.5)
            holds.append(read.bits_interval[0] <= true <= read.bits_interval[1])
        (within if served in BITS else rest).append(Measured(served, engine, float(np.mean(near)), 0, 1))
        if served in BITS:
            covered.append(Measured(served, engine, float(np.mean(holds)), 0, 1))
    for id, what, found in (
        ("bits-within", "effective bits of 3 to 6-bit servers within half a bit, 300 greedy tokens", within),
        ("bits-coverage", "their 95 % intervals that hold the bits", covered),
        ("bits-rest", f"BF16 and 8 bits that come out as {MOST_BITS:g} or more, to half a bit", rest),
    ):
        if not found:
            yield Figure(id=id, what=what, value=None, unit="share", note="not measured: not served yet")
            continue
        mean = float(np.mean([one.value for one in found if one.value is not None]))
        met = mean >= 0.9
        note = "; ".join(map(str, found))
        yield Figure(id=id, what=what, value=mean, unit="share", goal="at least 0.9", met=met, note=note)


def there(bench: Bench, classes: Sequence[str]) -> list[tuple[str, str]]:
    """Class and engine of everything held out that has been served."""
    return [
        (served, engine)
        for served in classes
        for engine in HELD_OUT
        if (bench.answers / engine / served / "greedy8.jsonl").exists()
    ]


def jackknife(whole: float, asked: Sequence[Asked], value: Callable[[list[Asked]], float]) -> tuple[float, float]:
    """A 95 % interval from leaving groups of prompts out, one at a time."""
    left = [value([one for one in asked if one.probe % FOLDS != fold]) for fold in range(FOLDS)]
    if not np.isfinite([whole, *left]).all():
        return whole, np.inf
    error = np.sqrt((FOLDS - 1) / FOLDS * np.square(np.array(left) - np.mean(left)).sum())
    return float(whole - 1.96 * error), float(whole + 1.96 * error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--audits", type=int, default=2000)
    options = parser.parse_args()
    found = []
    for figure in figures(Bench(read_profile(options.profile), options.answers), options.audits):
        print(figure.id, figure.value, figure.interval, figure.met, figure.note, flush=True)
        found.append(figure)
    write_result(NAME, found)


if __name__ == "__main__":
    main()
