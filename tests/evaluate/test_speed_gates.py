"""Requirements of speed: decided by the bounds that a bench measured, and by nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bitproof.errors import UsageError
from bitproof.evaluate.requirements import check_requirements, parse_requirement
from bitproof.evaluate.speed_gates import load_of, speed_gate, tokens_per_s
from bitproof.evaluate.speed_results import Load, LoadSpeed, Percentiles, SpeedReport, TargetSpeed
from bitproof.stats.decision import judge
from bitproof.types import Estimate, NotMeasured

FEW = NotMeasured("p95 needs 59 requests, and there are 20")


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=100, n_clusters=100, level=0.9, method="order statistics")


def report(p95: Estimate | NotMeasured) -> SpeedReport:
    none = Percentiles(p50=FEW, p95=FEW, p99=FEW)
    load = LoadSpeed(
        load=Load(n_requests=100, concurrency=4),
        n_answered=100,
        n_failed=0,
        duration_s=10.0,
        in_flight=2.0,
        first_token_s=none,
        between_tokens_s=none,
        whole_s=Percentiles(p50=FEW, p95=p95, p99=FEW),
        gap_p95_s=FEW,
        tokens_per_s=estimate(50.0, 45.0, 55.0),
        requests_per_s=FEW,
        stages=(),
        client_late_s=0.0,
    )
    open_load = replace(load, load=Load(n_requests=100, rate_per_s=2.0))
    target = TargetSpeed(
        name="w8a8", engine="vLLM", version="1", settings={}, loads=(load, open_load), peak_memory_bytes=FEW
    )
    return SpeedReport(targets=(target,), seed=0, prompts_digest="", prompt_tokens=10, answer_tokens=10)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("p95_latency_s<=1.5", "pass"),
        ("p95_latency_s<=1.4", "pass"),
        ("p95_latency_s<=1.3", "inconclusive"),
        ("p95_latency_s<=1.0", "fail"),
        ("p95_latency_s>=1.0", "pass"),
        ("p95_first_token_s<=9", "not measurable"),
        ("tokens_per_s>=40", "pass"),
        ("tokens_per_s>=50", "inconclusive"),
        ("tokens_per_s>=60", "fail"),
    ],
)
def test_the_whole_interval_decides(text, outcome):
    load = load_of(report(estimate(1.25, 1.1, 1.4)), "w8a8")
    gate, _ = speed_gate(parse_requirement(text), load, alpha=0.05)
    assert judge([gate])[0].outcome == outcome


def test_an_open_bound_and_a_stricter_alpha_decide_nothing():
    wanted = parse_requirement("p95_latency_s<=9")
    load = load_of(report(estimate(1.25, 1.1, math.inf)), "w8a8")
    assert judge([speed_gate(wanted, load, alpha=0.05)[0]])[0].outcome == "inconclusive"
    load = load_of(report(estimate(1.25, 1.1, 1.4)), "w8a8")
    assert judge([speed_gate(wanted, load, alpha=0.01)[0]])[0].outcome == "inconclusive"


def test_the_load_with_a_rate_is_taken_and_a_variant_that_is_not_there_is_said():
    load = load_of(report(FEW), "w8a8")
    assert isinstance(load, LoadSpeed)
    assert load.load.rate_per_s == 2.0
    assert load_of(report(FEW), "w4a16") == NotMeasured("the speed record has no w4a16: it has w8a8")
    assert isinstance(tokens_per_s(None, "w8a8"), NotMeasured)
    assert isinstance(tokens_per_s(report(FEW), "w8a8"), Estimate)


def test_speed_that_nobody_measured_is_refused_before_anything_is_asked():
    wanted = [parse_requirement("p95_latency_s<=1.5")]
    with pytest.raises(UsageError, match=r"speed under load.*bitproof bench --out"):
        check_requirements(wanted, ["code"])
    check_requirements(wanted, ["code"], speed=True)
