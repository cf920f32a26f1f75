"""The peers of the audit's benchmark on the cached answers: how many output tokens each needs, engine by engine.

    python -m benchmarks.peers install met                 # once, for Model Equality Testing
    python -m benchmarks.audit_peers ANSWERS               # every peer, engine and class that is there
    python -m benchmarks.audit_peers ANSWERS --peers lt-top5 met --engines vllm --intervals 40 --out FILE.json

Every peer sees an endpoint (an engine that serves a class), the reference as the auditor's engine serves it (those with
weights at hand: as they compute it), and as a bank the reference in all further engines; engines of the endpoint's own
family (`vllm`, `vllm-batched`) are in neither. See `audit_peer_power` for thresholds. What is said of the class
"reference" is a false-alarm rate.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from benchmarks.audit_cache import Answer, read_answers, write_answers
from benchmarks.audit_peer_logprobs import prepare_b3it, prepare_lt
from benchmarks.audit_peer_met import prepare_met
from benchmarks.audit_peer_power import Curve, Plan, Prepared, power_curve, tokens_interval
from benchmarks.audit_peer_scores import Scorer
from benchmarks.audit_peer_text import clip_of, log_rank, prepare_difr, prepare_rut
from bitproof.audit.probes import probe_texts
from bitproof.models.reference import load

REFERENCE = "reference"
PROBES, PROBE_SEED = 240, 1
AUDITORS = ("transformers-batched", "transformers-batched-float32", "vllm", "vllm-batched", "llamacpp")
SAMPLE_TOKENS, SAMPLE_SEED = 24, 7


@cache
def answers_of(path: Path) -> tuple[Answer, ...]:
    """Answers of a cached file, those that failed left out."""
    return tuple(one for one in read_answers(path)[1] if one.finish != "error")


@dataclass
class Bench:
    """The cached answers and what is computed from them once; `work` keeps scores and samples between runs."""

    folder: Path
    work: Path
    master: Path | None
    plan: Plan
    local_samples: int = 12
    probes: tuple[int, ...] = tuple(range(PROBES))

    def path(self, engine: str, name: str, setting: str) -> Path:
        return self.folder / engine / name / f"{setting}.jsonl"

    def engines(self, setting: str) -> list[str]:
        """Engines that have the reference in a setting."""
        return sorted(path.parent.parent.name for path in self.folder.glob(f"*/{REFERENCE}/{setting}.jsonl"))

    def classes(self, engine: str, setting: str) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob(f"{engine}/*/{setting}.jsonl"))

    @cached_property
    def scorer(self) -> Scorer:
        """The reference's weights, for the peers that need them."""
        if self.master is None:
            raise SystemExit("token-difr and rut need the reference's weights: give --master DIR")
        return Scorer(load(self.master), probe_texts(PROBES, seed=PROBE_SEED), self.work)

    @cached_property
    def log_ranks(self) -> dict[int, list[float]]:
        """Log-ranks of the reference's own samples to every prompt, drawn on first use."""
        path = self.work / f"samples-{self.scorer.reference.digest[:12]}-{self.local_samples}.jsonl"
        if not path.exists():
            drawn = self.scorer.samples(self.local_samples, tokens=SAMPLE_TOKENS, seed=SAMPLE_SEED)
            write_answers(path, {"seed": SAMPLE_SEED, "samples": self.local_samples}, drawn)
        local, found = answers_of(path), dict[int, list[float]]()
        for answer, scores in zip(local, self.scorer.scores(local, by_text=True), strict=True):
            if len(scores.ranks):
                found.setdefault(answer.probe, []).append(log_rank(scores))
        return found


# An endpoint's answers, the auditor's reference and the bank of references, to what scores are made of.
Prepare = Callable[[Bench, Sequence[Answer], Sequence[Answer], Sequence[Sequence[Answer]]], Prepared]


@dataclass(frozen=True)
class Peer:
    """A published method: the setting it reads, whose threshold stands for it, and whether it has the weights at hand,
    so that it needs no engine for the auditor's side."""

    setting: str
    prepare: Prepare
    threshold: str = "bank"
    weights: bool = False


def _lt(top: int, first: int) -> Prepare:
    return lambda bench, served, auditor, bank: prepare_lt(served, auditor, bench.probes, top=top, first=first)


def _difr(
    bench: Bench, served: Sequence[Answer], auditor: Sequence[Answer], bank: Sequence[Sequence[Answer]]
) -> Prepared:
    trusted = [one for answers in bank for one in bench.scorer.scores(answers)]
    return prepare_difr(served, bench.scorer.scores(served), bench.probes, clip_nats=clip_of(trusted))


def _rut(
    bench: Bench, served: Sequence[Answer], auditor: Sequence[Answer], bank: Sequence[Sequence[Answer]]
) -> Prepared:
    scores = bench.scorer.scores(served, by_text=True)
    return prepare_rut(served, scores, bench.log_ranks, bench.probes, alpha=bench.plan.alpha)


PEERS: dict[str, Peer] = {
    "lt-top20": Peer("greedy8", _lt(20, 8)),
    "lt-top5": Peer("greedy8", _lt(5, 8)),
    "lt-top20-first": Peer("greedy8", _lt(20, 1)),
    "lt-top5-first": Peer("greedy8", _lt(5, 1)),
    "token-difr": Peer("greedy8", _difr, weights=True),
    "b3it": Peer("greedy8", lambda bench, served, auditor, bank: prepare_b3it(served, auditor, bench.probes)),
    "b3it-path": Peer(
        "greedy8",
        lambda bench, served, auditor, bank: prepare_b3it(served, auditor, bench.probes, inputs=320, places="path"),
    ),
    "rut": Peer("sampled24", _rut, threshold="own", weights=True),
    "met": Peer(
        "sampled24",
        lambda bench, served, auditor, bank: prepare_met(served, auditor, bench.probes, alpha=bench.plan.alpha),
        threshold="own",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: a peer, an endpoint, a threshold. `why` says why there is no curve where there is none."""

    peer: str
    engine: str
    name: str
    threshold: str
    auditor: str = ""
    bank: tuple[str, ...] = ()
    curve: Curve | None = None
    interval: tuple[float, float] | None = None
    why: str = ""

    @property
    def false_alarms(self) -> float | None:
        """Of the reference in this engine, with as many tokens as the power needs, or with all."""
        if self.curve is None or not self.curve.false_alarms:
            return None
        at = self.curve.budgets.index(self.curve.tokens) if self.curve.tokens is not None else -1
        return self.curve.false_alarms[at]


def rows(bench: Bench, name: str, engine: str, classes: Sequence[str], *, intervals: int = 0) -> Iterator[Row]:
    """All figures of a peer for an endpoint's engine, by its own threshold and by the oracle's."""
    peer = PEERS[name]
    others = [one for one in bench.engines(peer.setting) if one.split("-")[0] != engine.split("-")[0]]
    auditor = "" if peer.weights else next((one for one in AUDITORS if one in others), "")
    banked = tuple(one for one in others if one != auditor)
    there = [one for one in bench.classes(engine, peer.setting) if not classes or one in classes]
    told = Row(peer=name, engine=engine, name="", threshold=peer.threshold, auditor=auditor, bank=banked)
    if len(others) < (1 if peer.weights or peer.threshold == "own" else 2):
        why = f"has the reference in {len(others)} engines of other families: too few"
        yield from (replace(told, name=one, why=why) for one in there)
        return
    ours = answers_of(bench.path(auditor, REFERENCE, peer.setting)) if auditor else ()
    references = [answers_of(bench.path(one, REFERENCE, peer.setting)) for one in banked]

    def prepared(of_engine: str, of_class: str) -> Prepared:
        return peer.prepare(bench, answers_of(bench.path(of_engine, of_class, peer.setting)), ours, references)

    bank = [prepared(one, REFERENCE) for one in banked] if peer.threshold == "bank" else []
    same = prepared(engine, REFERENCE) if engine in bench.engines(peer.setting) else None
    for one in there:
        served = same if one == REFERENCE and same is not None else prepared(engine, one)
        for threshold in (peer.threshold, "oracle"):
            if threshold == "oracle" and (same is None or one == REFERENCE):
                continue
            curve = power_curve(served, bank, bench.plan, same_engine=same, threshold=threshold)
            row = Row(
                peer=name, engine=engine, name=one, threshold=threshold, auditor=auditor, bank=banked, curve=curve
            )
            if not intervals or one == REFERENCE:
                yield row
                continue
            span = tokens_interval(
                served,
                bank,
                bench.plan,
                same_engine=same,
                threshold=threshold,
                prompts=len(bench.probes),
                replicates=intervals,
            )
            yield replace(row, interval=span)


def worst(found: Sequence[Row], peer: str, classes: Sequence[str], *, threshold: str) -> Row | None:
    """The figure of the engine and class in which a peer needs most tokens, or has least power with all there are."""
    measured = [
        (math.inf if row.curve.tokens is None else row.curve.tokens, -row.curve.power[-1], index)
        for index, row in enumerate(found)
        if row.peer == peer and row.name in classes and row.threshold == threshold and row.curve and row.curve.budgets
    ]
    return found[max(measured)[2]] if measured else None


def main() -> None:
    """Run peers on cached answers; print a line for each figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_peers", description=main.__doc__)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--master", type=Path, help="the reference's weights, for token-difr and rut")
    parser.add_argument("--work", type=Path, help="where scores and samples are kept (default: beside the answers)")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--engines", nargs="+", default=[])
    parser.add_argument("--classes", nargs="+", default=[])
    parser.add_argument("--audits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--local-samples", type=int, default=12, help="the reference's own samples a prompt, for rut")
    parser.add_argument("--intervals", type=int, default=0, metavar="REPLICATES")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bench = Bench(
        folder=options.answers,
        work=options.work or options.answers.with_name("peers"),
        master=options.master,
        plan=Plan(audits=options.audits, seed=options.seed),
        local_samples=options.local_samples,
    )
    found: list[Row] = []
    for name in options.peers:
        for engine in options.engines or bench.engines(PEERS[name].setting):
            for row in rows(bench, name, engine, options.classes, intervals=options.intervals):
                found.append(row)
                alarms = "" if row.false_alarms is None else f"  false alarms {row.false_alarms:.3f}"
                said = row.curve.said if row.curve else f"not measured: {row.why}"
                span = "" if row.interval is None else f" [{row.interval[0]:g}, {row.interval[1]:g}]"
                print(f"{name:16} {engine:24} {row.name:20} {row.threshold:7} {said}{span}{alarms}", flush=True)
    if options.out:
        options.out.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
