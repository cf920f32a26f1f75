"""Evaluations as they come, and as they should not come."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from bitproof.audit.meter import MeterReading
from bitproof.audit.results import Answer, AuditReport
from bitproof.evaluate.results import (
    Curve,
    Evaluation,
    GateOutcome,
    Recommendation,
    Requirement,
    RungOutcome,
    VariantResult,
)
from bitproof.stats.cliffs import Cliff
from bitproof.stats.decision import Outcome
from bitproof.types import Estimate, Item, ItemPair, Message, NotMeasured, Response, SliceComparison

MakeEvaluation = Callable[..., Evaluation]

VARIANTS = {  # name -> (megabytes, bits per parameter, words, points lost on average)
    "w8a16-channel": (163, 9.7, "INT8 weights, a scale per channel, symmetric; round to nearest", 0.1),
    "fp8a16": (162, 9.6, "FP8 E4M3 weights, a scale per channel; round to nearest", 0.4),
    "w6a16-scaled-g64": (139, 8.3, "INT6 weights, a scale per 64, symmetric; error-weighted scales", 0.3),
    "w4a16-awq.scaled.gptq-g64": (113, 6.7, "INT4 weights, a scale per 64, symmetric; AWQ then GPTQ", 2.2),
    "nf4": (112, 6.6, "NF4 weights, an 8-bit scale per 64", 3.0),
    "w4a16-g64": (111, 6.6, "INT4 weights, a scale per 64, symmetric; round to nearest", 4.6),
    "mxfp4a16-scaled.gptq": (108, 6.4, "FP4 E2M1 weights, a power-of-two scale per 32; GPTQ", 5.5),
    "w3a16-scaled.gptq-g64": (100, 5.9, "INT3 weights, a scale per 64, symmetric; GPTQ", 13.0),
}
SLICES = {
    "arithmetic": "Multi-step arithmetic",
    "json": "JSON to a schema",
    "code": "Code that is executed",
    "instructions": "Instructions that can be verified",
    "long_context": "Long context",
    "multilingual": "Twenty languages",
    "rare_vocabulary": "Rare vocabulary",
    "refusal": "Refusal and over-refusal",
    "translation": "Translation",
    "facts": "Facts, with stated confidence",
}
WEAK = {"long_context": 3.0, "json": 1.8, "arithmetic": 1.6, "refusal": 0.3}  # factors of the mean loss
NO_SCORES = NotMeasured("the reference is at the floor: it scores 3%, and can lose no more than that")


def estimate(value: float, half: float, n: int = 300, clusters: int = 60) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=n, n_clusters=clusters)


def comparison(variant: str, slice_: str, loss: float, random: Random, *, measurable: bool = True) -> SliceComparison:
    """A slice that lost `loss` points."""
    half = random.uniform(0.02, 0.045) if slice_ != "all" else 0.009
    score, kl = random.uniform(0.35, 0.75), 0.004 + 0.011 * loss
    absent: dict[str, Any] = {} if measurable else {"margin_change_nats": estimate(-0.2 * loss, 0.1)}
    return SliceComparison(
        variant=variant,
        slice=slice_,
        n_items=300,
        n_clusters=60,
        reference_score=estimate(score, 0.05) if measurable else estimate(0.03, 0.02),
        variant_score=estimate(score - loss / 100, 0.05) if measurable else estimate(0.02, 0.02),
        difference=estimate(-loss / 100, half) if measurable else NO_SCORES,
        lost=round(3 * loss) + 4,
        gained=4,
        kl_nats=Estimate(value=kl, low=kl * 0.8, high=kl * 1.25, n=4000, n_clusters=60),
        top1_flips=estimate(min(0.9, 0.01 * loss), 0.004),
        answers_changed=estimate(min(0.95, 0.05 + 0.05 * loss), 0.04),
        first_change=7.0,
        truncated=3,
        **absent,
    )


def pair(number: int, slice_: str, reference: str, variant: str, first_change: int | None = 4, **item: Any) -> ItemPair:
    fields: dict[str, Any] = {
        "id": f"{slice_}/0/3/{number}",
        "slices": (slice_,),
        "cluster": f"{slice_}:shop",
        "messages": (
            Message(role="system", content="You are a careful assistant."),
            Message(
                role="user",
                content="A shop earns 120 on Monday, 30 % more on Tuesday, and on Wednesday 20 % less than on Tuesday. "
                "How much did it earn in the three days? Answer with the number only.",
            ),
        ),
        "grader": "number",
        "gold": {"number": 400.8},
        "level": 3.0,
    }
    return ItemPair(
        item=Item(**{**fields, **item}),
        reference=Response(texts=(reference,), finish="stop", token_ids=((1, 2, 3, 4, 5, 6),)),
        variant=Response(texts=(variant,), finish="stop", token_ids=((1, 2, 3, 4, 9, 6),)),
        reference_score=1.0,
        variant_score=0.0,
        kl_nats=2.31,
        first_change=first_change,
    )


HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \x1b[31mred\x1b[0m \x00 \u202eevil\u202c "
    "\u05e9\u05dc\u05d5\u05dd \ud83d " + "e" + "\u0301" * 40 + " <!-- ]]> --> | `code` | ${{7*7}} {{ 7*7 }}"
)


def worst(slice_: str) -> tuple[ItemPair, ...]:
    return (
        pair(
            17,
            slice_,
            "Tuesday is 120 * 1.3 = 156. Wednesday is 156 * 0.8 = 124.8. The answer is 400.8",
            "Tuesday is 120 * 1.3 = 156. Wednesday is 156 * 1.2 = 187.2. The answer is 463.2",
            14,
        ),
        pair(21, "json", '{"name": "Ada", "born": 1815}', '{"name": "Ada", "born": "1815"', 9),
        pair(33, "multilingual", "העיר הבירה היא ירושלים.", "העיר הבירה היא תל אביב, ולא", 5),
    )


def curve(variant: str, slice_: str, loss: float) -> Curve:
    levels = (512.0, 1024.0, 2048.0, 4096.0) if slice_ == "long_context" else (1.0, 2.0, 3.0, 4.0, 6.0)
    n = len(levels)
    losses = [loss * (0.2 + 1.6 * index / (n - 1)) / 100 for index in range(n)]
    absent = slice_ == "facts"
    return Curve(
        variant=variant,
        slice=slice_,
        unit="tokens of context" if slice_ == "long_context" else "steps",
        levels=levels,
        reference=tuple(estimate(0.9 - 0.15 * index, 0.06) for index in range(n)),
        difference=tuple(
            NO_SCORES if absent or index == n - 1 > 3 else estimate(-x, 0.04) for index, x in enumerate(losses)
        ),
        kl_nats=tuple(
            Estimate(value=k, low=k * 0.8, high=k * 1.3, n=400, n_clusters=60) for k in [0.01 + x for x in losses]
        ),
        trend=estimate(-loss / 300, 0.012),
        trend_unit="per doubling" if slice_ == "long_context" else "per level",
    )


def deciles(middle: float) -> tuple[float, ...]:
    return tuple(middle * math.exp(0.55 * (index - 5)) if index else 0.0 for index in range(11))


def result(
    name: str, slices: Sequence[str], random: Random, *, measurable: bool = True, speed: bool = False
) -> VariantResult:
    megabytes, bits, words, loss = VARIANTS.get(name, (100, 6.0, "a variant", 2.0))
    rows = tuple(
        comparison(
            name,
            slice_,
            loss * WEAK.get(slice_, random.uniform(0.5, 1.3)),
            random,
            measurable=measurable and slice_ != "facts",
        )
        for slice_ in slices
    )
    overall = comparison(name, "all", loss, random, measurable=measurable)
    cliffs = ()
    if loss > 2 and "long_context" in slices:
        deep = f"long_context at {4096 if 'long_context' in SLICES else 0} tokens of context"
        cliffs = tuple(
            Cliff(
                name=group,
                contrast=estimate(-factor * loss / 100, 0.03),
                group=estimate(-(factor + 1) * loss / 100, 0.03),
                rest=estimate(-0.8 * loss / 100, 0.008, 2700, 540),
                p=0.0001 / loss,
                p_holm=0.002 / loss,
                found=True,
                left_pool=True,
            )
            for group, factor in (("long_context", 2.0), (deep, 3.6))
        )
    return VariantResult(
        name=name,
        describe=words,
        size_bytes=megabytes * 1_000_000,
        bits_per_parameter=bits,
        comparisons=rows,
        overall=overall,
        cliffs=cliffs,
        curves=tuple(curve(name, row.slice, loss * WEAK.get(row.slice, 1.0)) for row in rows[:6]),
        worst=worst(slices[0]),
        kl_deciles_nats=deciles(0.01 * loss + 0.002),
        engine="transformers emulation, bfloat16",
        seconds=31.4,
        **({"tokens_per_s": estimate(9000 / megabytes, 2.5)} if speed else {}),
    )


def gate(text: str, outcome: Outcome, figure: Any, **fields: Any) -> GateOutcome:
    subject = text.split(">=")[0].split("<=")[0]
    kind = "at most" if "<=" in text else "slice"
    return GateOutcome(
        requirement=Requirement(text=text, subject=subject, kind=kind, limit=0.02),
        outcome=outcome,
        figure=figure,
        **fields,
    )


def rung(variant: VariantResult, tested: bool) -> RungOutcome:
    loss = VARIANTS.get(variant.name, (0, 0, "", 2.0))[3]
    by_slice = {row.slice: row.difference for row in variant.comparisons}
    outcomes: tuple[Outcome, ...] = (
        ("pass",) * 3
        if loss < 1
        else ("pass", "inconclusive", "pass")
        if loss < 2.5
        else ("fail", "inconclusive", "pass")
    )
    gates = [
        gate(
            text,
            outcome,
            by_slice.get(text.split(">=")[0], NotMeasured("the suite has no such slice")),
            p_pass={"pass": 0.0004, "inconclusive": 0.21, "fail": 1.0}[outcome],
            p_fail={"pass": 1.0, "inconclusive": 0.37, "fail": 0.0021}[outcome],
            items_needed=640 if outcome == "inconclusive" else None,
            why={
                "pass": "the loss is less than 2 points",
                "inconclusive": "the interval holds both sides of the margin",
                "fail": "the loss is more than 2 points",
            }[outcome],
        )
        for text, outcome in zip(("arithmetic>=-2pp", "json>=-2pp", "code>=-2pp"), outcomes, strict=True)
    ]
    gates.append(
        gate("memory_gib<=8", "pass", 0.41, p_pass=0.0, p_fail=1.0, why="resident set of the engine's process")
    )
    gates.append(gate("facts>=-2pp", "not measurable", NO_SCORES)) if loss > 2.5 else None
    worst_: Outcome = "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"
    words = {
        "pass": "Every requirement is met.",
        "inconclusive": "json may have lost more than 2 points: these items cannot decide.",
        "fail": f"arithmetic lost more than 2 points ({-100 * by_slice['arithmetic'].value:.1f}).",
    }
    why = words[worst_] if tested else "Testing stopped before it; its figures are descriptive."
    return RungOutcome(variant=variant.name, outcome=worst_, tested=tested, gates=tuple(gates), why=why)


def make(
    *,
    variants: Sequence[str] = tuple(VARIANTS)[:5],
    slices: Sequence[str] = tuple(SLICES),
    decided: bool = True,
    measurable: bool = True,
    speed: bool = False,
    seed: int = 0,
    **changes: Any,
) -> Evaluation:
    """A realistic evaluation; `changes` are fields of `Evaluation`."""
    random = Random(seed)
    found = [result(name, slices, random, measurable=measurable, speed=speed) for name in variants]
    recommendation = None
    if decided and "arithmetic" in slices and measurable:
        rungs: list[RungOutcome] = []
        tested, chosen = True, None
        for one in found:
            rungs.append(rung(one, tested))
            tested = tested and rungs[-1].outcome == "pass"
            chosen = one.name if tested else chosen
        recommendation = Recommendation(
            chosen=chosen,
            outcome="pass" if chosen else rungs[0].outcome,
            rungs=tuple(rungs),
            passed_over={"w8a8-smoothquant": "fp8a16 is as small and did better on the selection split"},
            words="It meets every requirement. The next smaller one is not proven: json may have lost over 2 points."
            if chosen
            else "The largest one already lost more than 2 points on arithmetic.",
        )
    noise = tuple(
        VariantResult(
            name=name,
            describe="the reference against itself",
            size_bytes=NotMeasured("the reference itself"),
            bits_per_parameter=NotMeasured("the reference itself"),
            comparisons=(),
            overall=comparison(name, "all", 0.05, random),
            kl_deciles_nats=deciles(middle),
        )
        for name, middle in (("reference in bfloat16", 0.0011), ("reference, other batches", 0.0002))
    )
    fields: dict[str, Any] = {
        "reference": "smollm2-135m",
        "reference_bytes": 269_000_000,
        "suite": "core/demo",
        "suite_digest": "5c0f" * 16,
        "plan_digest": "91ab" * 16,
        "seed": 0,
        "slices": tuple(slices),
        "titles": {name: SLICES.get(name, name) for name in slices},
        "n_items": 300 * len(slices),
        "reference_scores": {
            name: estimate(random.uniform(0.3, 0.8), 0.05) if name != "facts" and measurable else estimate(0.03, 0.02)
            for name in slices
        },
        "variants": tuple(found),
        "noise": noise,
        "recommendation": recommendation,
        "left_out": {"code_humaneval": "bubblewrap cannot isolate on this machine: no user namespaces"},
        "not_measured": {"The serving engine": "variants were emulated in the reference's forward pass"},
        "how": {
            "Engine": "transformers emulation, bfloat16, 2 threads",
            "Statistics": "cluster-robust score intervals, 95 %; fixed sequence, alpha 5 %",
            "Seed": "0",
            "Versions": "bitproof 0.2.0, torch 2.9.1, transformers 5.0.0",
            "Machine": "2 cores with AVX-512, 24 GB",
        },
        "caveats": ("The weights of the embedded model were published in 4 bits: they lie on a 32-wide grid.",),
        "command": "bitproof evaluate demo --require 'arithmetic>=-2pp' --require 'json>=-2pp' --seed 0",
    }
    return Evaluation(**{**fields, **changes})


def many_slices(n: int) -> tuple[str, ...]:
    return (*SLICES, *(f"further_slice_{index}" for index in range(n - len(SLICES))))


@pytest.fixture
def make_evaluation() -> MakeEvaluation:
    return make


@pytest.fixture
def hostile() -> Evaluation:
    """Hostile text wherever text comes from outside."""
    name = "w4a16-gptq-g128+kvfp8-<b onmouseover=alert(1)>" + "x" * 120
    made = make(
        variants=("w8a16-channel", name),
        titles={**SLICES, "json": "<script>alert('title')</script>" + "JSON " * 30},
        reference=HOSTILE,
        not_measured={"<i>Speed": HOSTILE},
        caveats=(HOSTILE,),
        command=HOSTILE,
        how={HOSTILE: HOSTILE},
    )
    bad = pair(
        1,
        "json",
        HOSTILE * 40,
        HOSTILE * 20 + "\u202e" + "word" * 3000,
        3,
        messages=(Message(role="user", content=HOSTILE * 60),),
    )
    variants = tuple(type(row)(**{**vars(row), "worst": (bad,)}) for row in made.variants)
    return type(made)(**{**vars(made), "variants": variants})


@pytest.fixture
def edge_cases() -> dict[str, Evaluation]:
    """Shapes that a report must bear."""
    return {
        "one variant": make(variants=("w4a16-g64",)),
        "no gates": make(decided=False),
        "nothing measurable": make(measurable=False),
        "many": make(variants=tuple(VARIANTS), slices=many_slices(30), speed=True),
        "no variants": make(variants=(), decided=False, noise=()),
        "nothing chosen": make(variants=("w3a16-scaled.gptq-g64",)),
    }


@pytest.fixture
def make_audit() -> Callable[..., AuditReport]:
    """An audit by top logprobs of an endpoint that serves w4, for tests; `changes` are its fields."""

    def make(**changes: Any) -> AuditReport:
        names = ("reference", "w8", "w4", "w4a16-awq.scaled.gptq-g64+kvfp8")
        own = {"reference": (0.03, 0.1, 0.8, 0.7), "w8": (0.1, 0.03, 0.81, 0.75), "w4": (0.8, 0.81, 0.03, 0.9)}
        expected = {name: tuple(map(math.log, values)) for name, values in own.items()}
        made = AuditReport(
            endpoint="https://api.example/v1",
            model="tiny",
            reference="made/tiny",
            profile_digest="ab" * 32,
            test="top-logprobs",
            outcome="inconsistent",
            words="Inconsistent with made/tiny: the closest is w4.",
            closest=("w4",),
            excluded=("reference", "w8"),
            equals=("w8",),
            probability={"reference": 0.001, "w8": 0.001, "w4": 0.97, names[3]: 0.028},
            fit={"reference": 1e-9, "w8": 1e-7, "w4": 0.62, names[3]: 0.002},
            names=names,
            residuals=tuple(map(math.log, (0.79, 0.805, 0.034, 0.88))),
            expected={**expected, names[3]: tuple(map(math.log, (0.7, 0.75, 0.9, 0.03)))},
            meter=MeterReading(
                noise_nats=0.4, noise_interval=(0.11, 0.9), bits=3.6, bits_interval=(1.0, 7.0), n_tokens=12
            ),
            scale={3: 0.66, 4: 0.3, 5: 0.16, 6: 0.09, 7: 0.05, 8: 0.05},
            sampler="",
            n_probes=2,
            n_places=5,
            answer_tokens=8,
            prompt_tokens=1234,
            top_logprobs=12,
            alpha=0.01,
            looks=(3, 5, 10),
            seed=7,
            answers=(
                Answer(question="Capital?", text=" Ulm is it", reference=" Ulm is it", n_read=4),
                Answer(question="River?", text=" the Danube", reference=" the Rhine", n_read=1),
            ),
            findings=("its logprobs are rounded to 2 decimals",),
            command="bitproof audit https://api.example/v1 --profile p",
        )
        return replace(made, **changes)

    return make
