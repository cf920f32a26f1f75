"""`bitproof bench`: the speed of artifacts and endpoints, end to end, in the engine that serves them.

Every target gets the same prompts at the same times, made from a seed. The first load keeps the server full and finds
what it can do; the others are Poisson arrivals at rates given, or at shares of what the first target can do. Each
target is warmed up first, and starts after the one before it has been closed. Guided against free decoding is another
measurement, on the items of the JSON slices (`speed_guided`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from bitproof.engines.http import HttpGenerator
from bitproof.errors import UsageError
from bitproof.evaluate.runner import Budget
from bitproof.evaluate.speed_client import Meter, Sample, SpeedClient
from bitproof.evaluate.speed_guided import ask_both_ways, json_items, request_of
from bitproof.evaluate.speed_load import figures_of, validator
from bitproof.evaluate.speed_results import Figure, GuidedEffect, Load, LoadSpeed, SpeedReport, TargetSpeed
from bitproof.evaluate.speed_schedule import Workload, digest_of_requests, make_requests
from bitproof.evaluate.speed_server import PeakMemory, StageSums, vllm_stages
from bitproof.evaluate.speed_targets import Serving, Target, open_engine
from bitproof.stats.cluster import proportion, ratio_of_sums
from bitproof.types import Item, NotMeasured, Progress

__all__ = ["SpeedPlan", "bench", "estimate_s", "measure_speed"]

SHARES = (0.25, 0.5, 0.8)  # of what the first target can do, where no rate is given
WARM_UP = 3
Announce = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class SpeedPlan:
    """What every target is put through. Without rates and concurrencies: full slots, then `SHARES` of what came out;
    with `guided` alone, no load at all.
    """

    workload: Workload = field(default_factory=Workload)
    rates_per_s: tuple[float, ...] = ()
    concurrencies: tuple[int, ...] = ()
    n_requests: int = 100  # of each load; with `guided`, items of each JSON slice, asked twice
    guided: bool = False
    serving: Serving = field(default_factory=Serving)
    budget: Budget = field(default_factory=Budget)  # of each target

    def __post_init__(self) -> None:
        if self.n_requests < 2 or any(rate <= 0 for rate in self.rates_per_s) or any(n < 1 for n in self.concurrencies):
            raise UsageError(
                "loads need at least 2 requests, rates above 0 and at least 1 user", remedy="Give other figures."
            )

    @property
    def adaptive(self) -> bool:
        """Whether the first target's full slots decide the rates."""
        return not (self.rates_per_s or self.concurrencies or self.guided)

    @property
    def loads(self) -> tuple[Load, ...]:
        """Those that are known before anything is measured."""
        at_once = self.concurrencies or ((self.serving.slots,) if self.adaptive else ())
        closed = tuple(Load(n_requests=self.n_requests, concurrency=n) for n in at_once)
        return (*closed, *(Load(n_requests=self.n_requests, rate_per_s=rate) for rate in self.rates_per_s))

    def tokens(self, n_loads: int) -> int:
        """Tokens of one target, prompts and answers, about."""
        per_request = self.workload.prompt_tokens + self.workload.answer_tokens
        return (n_loads * self.n_requests + WARM_UP) * per_request


def bench(
    targets: Sequence[Target],
    plan: SpeedPlan,
    *,
    announce: Announce = lambda line: None,
    progress: Progress | None = None,
    command: str = "",
) -> SpeedReport:
    """Measure every target. `announce` is told what is to come, before it costs anything.

    Raises what an engine raises that cannot start or does not answer, and UsageError for two targets of one name.
    """
    double = [name for name, n in Counter(target.name for target in targets).items() if n > 1]
    if double:
        raise UsageError(f"{double[0]!r} is given twice", remedy="Give each target once.")
    adaptive = plan.adaptive
    items, left_out = json_items(plan.n_requests, seed=plan.workload.seed) if plan.guided else ({}, {})
    announce(_to_come(len(targets), plan, items))
    done: list[TargetSpeed] = []
    guided: list[GuidedEffect] = []
    plain: dict[str, dict[str, Sample]] = {}  # of targets without a draft: where -> request -> sample
    for number, target in enumerate(targets):
        with PeakMemory() if target.engine != "url" else nullcontext() as memory:
            engine = open_engine(target, plan.serving, connections=min(512, plan.n_requests))
            with engine:
                step = _step(progress, number, len(targets), target.name)
                meter = Meter(plan.budget)
                speed, samples = measure_speed(engine, plan, target.name, meter=meter, announce=announce, progress=step)
                if plan.guided and target.draft is None:
                    engine.client.workers = plan.serving.slots
                    guided += ask_both_ways(engine, items, meter, target.name, step)
                    speed = replace(speed, stopped=meter.reached)
                if memory is not None:
                    speed = replace(speed, peak_memory_bytes=memory.peak_bytes)
        if adaptive and not number:
            plan = replace(plan, rates_per_s=tuple(_rates(speed)), concurrencies=(plan.serving.slots,))
        if target.draft is None:
            plain[target.where] = samples
        else:
            speed = _with_draft(speed, samples, plain.get(target.where, {}))
        done.append(speed)
    requests = [request for n, load in enumerate(plan.loads) for request in make_requests(plan.workload, load, n)]
    requests += [request_of(item, by_schema=True) for asked in items.values() for item in asked]
    return SpeedReport(
        targets=tuple(done),
        seed=plan.workload.seed,
        prompts_digest=digest_of_requests(requests),
        prompt_tokens=plan.workload.prompt_tokens,
        answer_tokens=plan.workload.answer_tokens,
        guided=tuple(guided),
        how={f"slice {name}": f"left out: {why}" for name, why in left_out.items()},
        command=command,
    )


def _to_come(n_targets: int, plan: SpeedPlan, items: Mapping[str, Sequence[Item]]) -> str:
    """What is about to be measured, and about how many tokens it takes."""
    n_loads = len(plan.loads) + (len(SHARES) if plan.adaptive else 0)
    found, tokens = [f"{n_targets} targets"], plan.tokens(n_loads)
    if n_loads:
        found.append(f"{n_loads} loads of {plan.n_requests} requests")
    for name, asked in items.items():
        found.append(f"{len(asked)} items of {name} guided and free")
        tokens += 2 * sum(sum(len(m.content) for m in item.messages) // 3 + item.max_tokens // 2 for item in asked)
    return f"{', '.join(found)}: about {n_targets * tokens:,} tokens, prompts included."


def measure_speed(
    engine: HttpGenerator,
    plan: SpeedPlan,
    name: str,
    *,
    meter: Meter | None = None,
    announce: Announce = lambda line: None,
    progress: Progress | None = None,
) -> tuple[TargetSpeed, dict[str, Sample]]:
    """One engine that runs already, under every load; and each sample by its request's key."""
    meter = meter or Meter(plan.budget)
    client = SpeedClient(engine, meter, validator(plan.workload.schema))
    client.warm_up(make_requests(plan.workload, Load(n_requests=WARM_UP, concurrency=1), -1))
    loads, results = list(plan.loads), list[LoadSpeed]()
    by_key: dict[str, Sample] = {}
    adaptive = plan.adaptive
    while len(results) < len(loads) and not meter.spent():
        load, number = loads[len(results)], len(results)
        if progress:
            progress(number, len(loads) + (len(SHARES) if adaptive and not number else 0), load.name)
        requests = make_requests(plan.workload, load, number)
        before = _counted(engine)
        samples = client.run(load, requests, plan.workload.seed)
        by_key |= {request.key: sample for request, sample in zip(requests, samples, strict=False)}
        results.append(figures_of(load, samples, before, _counted(engine)))
        if adaptive and not number:
            capacity = results[0].requests_per_s
            if isinstance(capacity, NotMeasured):
                break
            loads += [Load(n_requests=plan.n_requests, rate_per_s=rate) for rate in _shares(capacity.value)]
            announce(f"{name}: {capacity.value:.3g} requests/s at most; {_time_words(loads[1:])} for the rates.")
    return TargetSpeed(
        name=name,
        engine=engine.name,
        version=engine.version,
        settings=engine.settings,
        loads=tuple(results),
        peak_memory_bytes=NotMeasured("the server is not ours"),
        stopped=meter.reached,
    ), by_key


def estimate_s(loads: Sequence[Load]) -> float:
    """Seconds that the arrivals of the open loads take."""
    return sum(load.n_requests / load.rate_per_s for load in loads if load.rate_per_s)


def _counted(engine: HttpGenerator) -> StageSums | NotMeasured:
    if engine.dialect == "vllm":
        return vllm_stages(str(engine.client.url))
    return NotMeasured("this endpoint tells no stages")


def _with_draft(speed: TargetSpeed, samples: Mapping[str, Sample], plain: Mapping[str, Sample]) -> TargetSpeed:
    """What a draft model did: tokens taken, answers that are other than without it, and engine time saved."""
    told = [sample.speculated for sample in samples.values() if sample.speculated and sample.speculated[0]]
    acceptance: Figure = NotMeasured("the engine tells no draft tokens")
    if told:
        acceptance = proportion([taken for _, taken in told], [proposed for proposed, _ in told])
    both = [
        (plain[key], samples[key])
        for key in sorted(samples.keys() & plain.keys())
        if not (plain[key].error or samples[key].error)
    ]
    changed: Figure = NotMeasured("no request was answered by both")
    speedup: Figure = changed
    if both:
        changed = proportion([without.text != drafted.text for without, drafted in both], np.ones(len(both)))
        seconds = [(_engine_s(without), _engine_s(drafted)) for without, drafted in both]
        speedup = ratio_of_sums(*zip(*seconds, strict=True), scale="log")
    return replace(speed, draft_acceptance=acceptance, answers_changed=changed, draft_speedup=speedup)


def _engine_s(sample: Sample) -> float:
    """Seconds that the engine worked on a request, as far as it tells; else those until it was done."""
    return sum(sample.stages.values()) if sample.stages else sample.done_s - sample.sent_s


def _rates(speed: TargetSpeed) -> list[float]:
    return [row.load.rate_per_s for row in speed.loads if row.load.rate_per_s is not None]


def _shares(capacity_per_s: float) -> list[float]:
    """Rates at `SHARES` of a capacity, to two digits."""
    return [float(f"{share * capacity_per_s:.2g}") for share in SHARES]


def _time_words(loads: Sequence[Load]) -> str:
    return f"about {estimate_s(loads):.0f} s"


def _step(progress: Progress | None, number: int, total: int, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda done, of, what: progress(number + done / max(of, 1), total, f"{name}, {what}")
