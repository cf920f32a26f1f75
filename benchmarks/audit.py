"""What `bitproof audit` promises, measured on cached answers: writes benchmarks/results/audit.json.

    python -m benchmarks.audit_served --answers FOLDER --profile FILE     serve the dithered master, keep the answers
    python -m benchmarks.audit_peers FOLDER --out PEERS.json              what published methods need on them
    python -m benchmarks.audit --profile FILE --answers FOLDER --plain FILE [--peers PEERS.json]

The profile holds the hold-out prompts (`benchmarks.audit_methods.SEED`), its calibration other ones and transformers
only. Figures are of the worst of the engines that were held out, each by itself. FP8 activations have no kernel in
them, so that class is served by two configurations of transformers: labelled, and not held out. What was not served is
a figure without a value. An hour on two cores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.audit_methods import TEST_OF, Asked, Bench
from benchmarks.audit_whole import WHOLE, whole_figure, wilson
from benchmarks.common import ROOT, Figure, write_result
from bitproof.audit.equals import equals
from bitproof.audit.meter import MOST_BITS, Meter
from bitproof.audit.plan import BUDGETS
from bitproof.audit.profile import REFERENCE, read_profile
from bitproof.store.files import write_text

NAME = "audit"
HELD_OUT = ("vllm", "vllm-batched", "llamacpp", "transformers-batched")
OWN_ENGINES = {"fp8-rtn-channel": ("transformers-batched", "transformers-batched-float32")}
NATIVE = "-native"
ACCESSES = ("top-20", "top-5", "text", "sampled", "seeded")
GROUPS: dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]] = {  # goals in the order of ACCESSES
    "int4": (("w4a16-rtn-g64", "w4a16-rtn-g64-native", "nf4"), (5, 5, 30, 50, 50)),
    "fp8": (("fp8a16-rtn-channel", "fp8-rtn-channel"), (10, 10, 150, 1000, 1000)),
    "int8": (("w8a16-rtn-channel",), (30, 50, 600, 3000, 3000)),
    "w8a8": (("w8a8-rtn-channel",), (10, 10, 100, 5000, 5000)),
    "kv": (("bf16+kvfp8",), (20, 30, 400, None, None)),
}
CLASSES = (REFERENCE, *(served for classes, _ in GROUPS.values() for served in classes), "w6a16-rtn-g64")
RIGHT = {"nf4": ("nf4-rtn",), "bf16+kvfp8": ("bf16+kvfp8", "bf16+kvfp8rz")}
BITS = {f"w{bits}a16-rtn-g64": bits for bits in (3, 4, 5, 6)}
FOLDS, FEWEST = 10, 100
RATIOS = {"int4": 200, "fp8": 60, "int8": 20, "w8a8": 60}
# a peer, and the access of ours that reads the same answers
PEERS = {
    "met": "sampled",
    "rut": "sampled",
    "lt-top20": "top-20",
    "lt-top5": "top-5",
    "b3it": "text",
    "token-difr": "text",
}


@dataclass(frozen=True)
class Measured:
    """One figure of one class in one engine."""

    served: str
    engine: str
    value: float | None
    power: float = 1.0

    def __str__(self) -> str:
        value = f"not reached, power {self.power:.2f}" if self.value is None else f"{self.value:.4g}"
        return f"{self.served} in {self.engine} {value}"


def jobs(peers: Path | None) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Names of functions here, and their arguments: one figure or more each, the longest first."""
    for access in ("sampled", "seeded", "text", "logprob", "top-5", "top-20"):
        yield "benign", (access,)
    for column in reversed(range(len(ACCESSES))):
        for group in GROUPS:
            yield "tokens", (group, column)
    yield "naming", ("top-20", 20, 0.95)
    yield "naming", ("top-5", 50, 0.90)
    yield "bits", ()
    for what in WHOLE:
        yield "whole_figure", (what,)
    if peers:
        yield "of_peers", (str(peers),)


def tokens(bench: Bench, audits: int, group: str, column: int) -> list[Figure]:
    """Tokens after which 95 % of audits have ruled the reference out."""
    (classes, goals), access = GROUPS[group], ACCESSES[column]
    found = [tokens_of(bench, served, engine, access, audits // 4) for served, engine in there(bench, classes, access)]
    goal = "inconclusive" if goals[column] is None else f"at most {goals[column]:,}"
    what = f"output tokens to find {' or '.join(classes)}, {access}: 95 % power at 1 % false alarms, worst engine"
    common: dict[str, Any] = {"id": f"tokens-{group}-{access}", "what": what, "unit": "tokens", "goal": goal}
    if not found:
        return [Figure(**common, value=None, note="not measured: not served")]
    shown = f"{audits // 4} audits each: {'; '.join(map(str, found))}"
    worst = max(found, key=lambda one: (np.inf if one.value is None else one.value, -one.power))
    if worst.value is None:
        most = BUDGETS[TEST_OF.get(access, access)]  # type: ignore[index]
        return [Figure(**common, value=None, met=goals[column] is None, note=f"within {most:,} tokens: {shown}")]
    asked = bench.asked(worst.engine, worst.served, access)

    def of(some: list[Asked]) -> float:
        value = bench.audits(some, access, n=max(FEWEST, audits // FOLDS)).tokens
        return np.inf if value is None else value

    low, high = jackknife(worst.value, asked, of)
    met = goals[column] is None or worst.value <= goals[column]  # type: ignore[operator]
    return [Figure(**common, value=worst.value, met=met, interval=(max(1.0, low), high), note=shown)]


def tokens_of(bench: Bench, served: str, engine: str, access: str, audits: int) -> Measured:
    """Of one class in one engine."""
    found = bench.audits(bench.asked(engine, served, access), access, n=audits)
    return Measured(served, engine, found.tokens, found.accused)


def benign(bench: Bench, audits: int, access: str) -> list[Figure]:
    """How often the reference is accused, the worst engine; and how often it is told consistent."""
    audits = audits // 4 if access == "sampled" else audits  # of 5,000 tokens each
    runs = {
        engine: bench.audits(bench.asked(engine, REFERENCE, access), access, n=audits)
        for _, engine in there(bench, (REFERENCE,), access)
    }
    what = f"false alarms of {audits:,} audits of the reference, {access}: observed on these engines, no guarantee"
    common: dict[str, Any] = {"id": f"benign-{access}", "what": what, "unit": "share", "goal": "at most 0.01"}
    if not runs:
        return [Figure(**common, value=None, note="not measured: not served")]
    worst = max(runs, key=lambda engine: runs[engine].accused)
    rate, asked = runs[worst].accused, bench.asked(worst, REFERENCE, access)
    low, high = jackknife(rate, asked, lambda some: bench.audits(some, access, n=max(FEWEST, audits // FOLDS)).accused)
    note = "; ".join(f"{engine} {run.accused:.4f}" for engine, run in runs.items())
    said = {engine: run.outcome.count("consistent") / audits for engine, run in runs.items()}
    cost = {engine: float(np.quantile(run.cost, 0.95)) for engine, run in runs.items()}
    least = min(said, key=lambda engine: said[engine])
    return [
        Figure(**common, value=rate, met=rate <= 0.01, interval=(max(0.0, low), min(1.0, high)), note=note),
        Figure(
            id=f"consistent-{access}",
            what=f"audits of the reference that end consistent, {access}, worst engine",
            value=said[least],
            unit="share",
            note="; ".join(f"{engine} {said[engine]:.3f} ({cost[engine]:.0f} tokens in 95 %)" for engine in said),
        ),
    ]


def naming(bench: Bench, audits: int, access: str, after: int, goal: float) -> list[Figure]:
    """Right names after so many tokens: the mean, and the classes below .9 in the note."""
    rates, missing, n = {}, set(CLASSES), audits // 10
    for served, engine in there(bench, CLASSES, access):
        right = RIGHT.get(served, (served.removesuffix(NATIVE),))
        names = bench.named_after(bench.asked(engine, served, access), access, after, n=n)
        rates[served, engine] = sum(names[name] for name in right) / n
        missing.discard(served)
    mean = float(np.mean(list(rates.values())))
    error = 1.96 * float(np.std(list(rates.values()), ddof=1)) / len(rates) ** 0.5
    below = [f"{served} in {engine} {rate:.2f}" for (served, engine), rate in rates.items() if rate < 0.9]
    note = f"{len(rates)} cells of {n} audits; below .9: {', '.join(below) or 'none'}"
    note += f"; not served: {', '.join(sorted(missing))}" if missing else ""
    return [
        Figure(
            id=f"naming-{access}",
            what=f"right name among the nine classes after {after} tokens with {access}, mean over classes and engines",
            value=mean,
            unit="share",
            goal=f"at least {goal:g}, every class at least 0.9",
            met=mean >= goal and not below and not missing,
            interval=(mean - error, min(1.0, mean + error)),
            note=note,
        )
    ]


def bits(bench: Bench, audits: int) -> list[Figure]:
    """Effective bits from 300 greedy tokens of text."""
    meter, n = Meter(bench.profile), audits // 10
    near, held, rest = [], [], []
    for served, engine in there(bench, (*BITS, REFERENCE, "w8a16-rtn-g64"), "text"):
        asked, true = bench.asked(engine, served, "text"), float(BITS.get(served, MOST_BITS))
        reads = [bits_once(bench, meter, asked, seed) for seed in range(n)]
        within = float(np.mean([abs(value - true) <= 0.5 for value, _, _ in reads]))
        if served in BITS:
            near.append(Measured(served, engine, within))
            held.append(Measured(served, engine, float(np.mean([low <= true <= high for _, low, high in reads]))))
        else:
            rest.append(Measured(served, engine, float(np.mean([high >= MOST_BITS for _, _, high in reads]))))
    whats = (
        ("bits-within", f"effective bits of 3 to 6-bit servers within half a bit, 300 greedy tokens, {n} audits", near),
        ("bits-coverage", "their 95 % intervals that hold the bits", held),
        ("bits-rest", f"BF16 and 8 bits that come out as {MOST_BITS:g} or more, or may", rest),
    )
    return [
        Figure(
            id=id,
            what=what,
            value=float(np.mean([one.value for one in found])),
            unit="share",
            goal="at least 0.9",
            met=bool(np.mean([one.value for one in found]) >= 0.9),
            interval=spread(found),
            note="; ".join(map(str, found)),
        )
        for id, what, found in whats
    ]


def bits_once(bench: Bench, meter: Meter, asked: Sequence[Asked], seed: int) -> tuple[float, float, float]:
    """Effective bits and their interval after 300 tokens."""
    readings, cost = [], 0
    for one in bench.order(asked, "text", seed):
        readings += one.readings
        cost += one.cost
        if cost >= 300:
            break
    read = meter.read(readings)
    if read is None or read.bits is None or read.bits_interval is None:
        raise ValueError("the profile has no scale of bits")
    return read.bits, *read.bits_interval


def spread(found: Sequence[Measured]) -> tuple[float, float]:
    """95 % interval of the mean over cells."""
    values = np.array([one.value for one in found], dtype=float)
    error = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return float(max(0.0, values.mean() - error)), float(min(1.0, values.mean() + error))


def of_peers(bench: Bench, audits: int, file: str) -> list[Figure]:
    """Ours beside each peer on the same answers, by its own threshold, in the engine where it needs most."""
    rows = [row for row in json.loads(Path(file).read_text()) if row["curve"] and row["threshold"] != "oracle"]
    figures = []
    for peer, access in PEERS.items():
        for group, (classes, _) in GROUPS.items():
            there = [row for row in rows if row["peer"] == peer and row["name"] in classes and row["curve"]["budgets"]]
            figures.append(beside(bench, audits, peer, access, group, there) if there else _not_run(peer, group))
    return figures


def _not_run(peer: str, group: str) -> Figure:
    goal = f"at least {RATIOS[group]}" if peer == "met" and group in RATIOS else ""
    note = "not measured: it was not run on these answers, or they were not served in its setting"
    return Figure(
        id=f"{peer}-{group}", what=f"tokens of {peer} for each of ours", value=None, unit="times", goal=goal, note=note
    )


def beside(bench: Bench, audits: int, peer: str, access: str, group: str, rows: Sequence[dict[str, Any]]) -> Figure:
    """Tokens of ours and of a peer, in the class and engine where the peer needs most."""

    def needs(row: dict[str, Any]) -> tuple[float, float]:
        tokens = row["curve"]["tokens"]
        return (np.inf if tokens is None else tokens), -row["curve"]["power"][-1]

    worst = max(rows, key=needs)
    curve = worst["curve"]
    told = curve["tokens"] if curve["tokens"] is not None else curve["budgets"][-1]
    ours = tokens_of(bench, worst["name"], worst["engine"], access, audits // 8).value
    goal = RATIOS.get(group) if peer == "met" else None
    ratio = told / ours if ours else None
    least = "" if curve["tokens"] is not None else "more than "
    alarms = max((row["curve"]["false_alarms"][-1] for row in rows if row["curve"]["false_alarms"]), default=None)
    accused = "" if alarms is None else f", and with all accuses the reference of an engine in up to {alarms:.3f}"
    return Figure(
        id=f"{peer}-{group}",
        what=f"tokens of {peer} for each of ours ({access}), {worst['name']} in {worst['engine']}",
        value=ratio,
        unit="times",
        goal=f"at least {goal}" if goal else "",
        met=None if goal is None or ratio is None or (least and ratio < goal) else ratio >= goal,
        peer=peer,
        peer_value=told,
        note=f"{peer} {least}{told:,} (power {curve['power'][-1]:.2f} with all its tokens{accused}); ours "
        + (f"{ours:,.0f}" if ours else "not reached"),
    )


def there(bench: Bench, classes: Sequence[str], access: str) -> list[tuple[str, str]]:
    """Class and engine of everything that has been served."""
    return [
        (served, engine)
        for served in classes
        for engine in OWN_ENGINES.get(served, HELD_OUT)
        if bench.there(engine, served, access)
    ]


def jackknife(whole: float, asked: Sequence[Asked], value: Callable[[list[Asked]], float]) -> tuple[float, float]:
    """A 95 % interval from leaving groups of prompts out, one at a time: prompts are the clusters."""
    left = [value([one for one in asked if one.probe % FOLDS != fold]) for fold in range(FOLDS)]
    if not np.isfinite([whole, *left]).all():
        return whole, np.inf
    error = np.sqrt((FOLDS - 1) / FOLDS * np.square(np.array(left) - np.mean(left)).sum())
    return float(whole - 1.96 * error), float(whole + 1.96 * error)


def trap(plain: Path) -> Figure:
    """The embedded model as it comes: its weights lie on a 4-bit grid, so some variants of it are free."""
    alike = equals(read_profile(plain))[REFERENCE]
    return Figure(
        id="trap",
        what="variants of the embedded model, not dithered, that no engine tells from it: one class, named together",
        value=len(alike),
        unit="variants",
        note=", ".join(alike) or "none",
    )


def widened(figure: Figure, audits: int) -> Figure:
    """A rate of false alarms with the wider of its interval and Wilson's: of few alarms a jackknife sees nothing."""
    if figure.value is None or figure.interval is None:
        return figure
    low, high = wilson(figure.value, audits // 4 if figure.id == "benign-sampled" else audits)
    return replace(figure, interval=(min(low, figure.interval[0]), max(high, figure.interval[1])))


def write_held_out(figures: Sequence[Figure], audits: int) -> None:
    """The rates of false alarms that every audit's report carries."""
    tests = {
        figure.id.removeprefix("benign-"): {
            "audits": audits // 4 if figure.id == "benign-sampled" else audits,
            "shares": figure.note.replace("; ", ", "),
        }
        for figure in figures
        if figure.id.startswith("benign-") and figure.value is not None
    }
    record = {"model": "SmolLM2-135M-Instruct with dithered weights", "alpha": 0.01, "tests": tests}
    write_text(ROOT / "src" / "bitproof" / "data" / "held_out.json", json.dumps(record, indent=1) + "\n")


_bench: list[Bench] = []
_FUNCTIONS: dict[str, Callable[..., list[Figure]]] = {
    "benign": benign,
    "tokens": tokens,
    "naming": naming,
    "bits": bits,
    "whole_figure": whole_figure,
    "of_peers": of_peers,
}


def _open(profile: Path, answers: Path) -> None:
    _bench.append(Bench(profile, answers))


def _run(job: tuple[str, tuple[Any, ...]], audits: int, kept: Path | None) -> list[Figure]:
    """The figures of a job, or what it found before."""
    name, arguments = job
    file = kept / f"{name}-{'-'.join(str(one).replace('/', '_') for one in arguments)}.json" if kept else None
    if file and file.exists():
        return [Figure(**figure) for figure in json.loads(file.read_text())]
    found = _FUNCTIONS[name](_bench[0], audits, *arguments)
    if file:
        write_text(file, json.dumps([asdict(figure) for figure in found]))
    return found


def main() -> None:
    """Command line of the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--plain", type=Path, help="a profile of the embedded model as it comes")
    parser.add_argument("--peers", type=Path, help="what benchmarks.audit_peers wrote")
    parser.add_argument("--audits", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder for figures that are ready, so that a run can go on")
    parser.add_argument("--only", nargs="+", help="functions to run, and nothing is written")
    options = parser.parse_args()
    wanted = [job for job in jobs(options.peers) if not options.only or job[0] in options.only]
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    found = []
    with ProcessPoolExecutor(options.processes, initializer=_open, initargs=(options.profile, options.answers)) as pool:
        for figures in pool.map(partial(_run, audits=options.audits, kept=options.keep), wanted):
            for figure in figures:
                print(figure.id, figure.value, figure.interval, figure.met, figure.note, flush=True)
            found += figures
    found = [widened(figure, options.audits) if figure.id.startswith("benign-") else figure for figure in found]
    found += [trap(options.plain)] if options.plain else []
    if not options.only:
        write_result(NAME, sorted(found, key=lambda figure: figure.id))
        write_held_out(found, options.audits)


if __name__ == "__main__":
    main()
