"""An audit in words and figures, for every form of its report; computes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bitproof.audit.meter import MOST_BITS, NOISES_NATS
from bitproof.audit.plan import DRAWN
from bitproof.audit.profile import REFERENCE
from bitproof.audit.results import AuditReport
from bitproof.audit.standing import MIXED, NOISE
from bitproof.report import figures
from bitproof.report.gates import p_value

__all__ = ["APART", "OTHER_CAUSES", "TESTS", "ModelRow", "bits", "cost", "meter_words", "model_rows", "spending"]

FEWEST_BITS = 1.0  # the meter's scale ends there
CLOSEST = {"consistent": "consistent", "inconsistent": "closest", "inconclusive": "possible"}
TESTS = {
    "prompt-logprobs": "Top logprobs of the reference's own answers",
    "top-logprobs": "Top logprobs",
    "logprob": "Logprobs of the chosen tokens",
    "text": "Text at temperature 0",
    "seeded": "Text at temperature 1, its random numbers known",
    "sampled": "Text at temperature 1",
}
APART = {
    NOISE: "the reference with noise on its logits, as another variant, model or prompt looks",
    MIXED: "some requests answered by the reference, others by a variant",
}
OTHER_CAUSES = (
    "another engine, or other kernels, batching or speculative decoding than the profile was made with",
    "other weights behind the same name: another revision, a fine-tune, a merge",
    "a hidden prompt, a changed template or another tokenizer",
    "settings of the server's sampler: temperature, top_p, penalties, a bias on tokens",
    "answers from a cache, or from more than one server behind one name",
)


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """How one model stands: distances of logprobs in nats, empty where the test has none."""

    name: str
    posterior: str
    fit: str
    seen: str  # of what was served, from this model
    if_it: str  # the same, where this model is served
    if_reference: str  # and where the reference is
    standing: str


def model_rows(report: AuditReport) -> list[ModelRow]:
    """Every model and what else the test knows, likeliest first."""
    names = list(dict.fromkeys((*report.probability, *(report.names if report.residuals else ()))))
    return [_row(report, name) for name in sorted(names, key=lambda name: -report.probability.get(name, 0.0))]


def _row(report: AuditReport, name: str) -> ModelRow:
    number = report.names.index(name) if report.residuals and name in report.names else None
    return ModelRow(
        name=name,
        posterior=f"{100 * report.probability[name]:.1f} %" if name in report.probability else "-",
        fit=p_value(report.fit[name]) if name in report.fit else "-",
        seen=_distance(report.residuals, number),
        if_it=_distance(report.expected.get(name, ()), number),
        if_reference=_distance(report.expected.get(REFERENCE, ()), number),
        standing=_standing(report, name),
    )


def _distance(residuals: tuple[float, ...], number: int | None) -> str:
    """A distance in nats, from half the logarithm of its square."""
    return "-" if number is None or number >= len(residuals) else f"{math.exp(residuals[number]):.3f}"


def _standing(report: AuditReport, name: str) -> str:
    if name in report.excluded:
        return "ruled out"
    return CLOSEST[report.outcome] if name in report.closest else "equal" if name in report.equals else ""


def meter_words(report: AuditReport) -> str:
    """The reading of the noise meter in a sentence; why there is none, where there is none."""
    reading = report.meter
    if reading is None:
        why = "tokens were drawn at temperature 1" if report.test in DRAWN else "no greedy token could be read"
        return f"Logit noise: not measured: {why}."
    low, high = reading.noise_interval
    ends = [f"{low:.3f}" if low > NOISES_NATS[0] else "less", f"{high:.3f}" if high < NOISES_NATS[-1] else "more"]
    noise = f"Logit noise {reading.noise_nats:.3f} nats [{', '.join(ends)}] over {reading.n_tokens} greedy tokens"
    if reading.bits is None or reading.bits_interval is None:
        return f"{noise}; effective bits: not measured: the profile holds no scale of bits."
    fewest, most = map(bits, reading.bits_interval)
    interval = fewest if fewest == most else f"{fewest} to {most}"
    return f"{noise}: effective bits {bits(reading.bits)} [{interval}]."


def bits(value: float) -> str:
    """Effective bits; "7 or more" and "1 or fewer" where the scale ends."""
    if value >= MOST_BITS:
        return f"{MOST_BITS:.0f} or more"
    return f"{value:.1f}" if value > FEWEST_BITS else f"{FEWEST_BITS:.0f} or fewer"


def cost(report: AuditReport) -> dict[str, str]:
    """What the endpoint was asked for, by name."""
    return {
        "answer tokens": f"{report.answer_tokens:,}",
        "tokens read": f"{report.n_places:,}",
        "questions": f"{report.n_probes:,}",
        "prompt tokens": f"{report.prompt_tokens:,}",
        "USD": "not known: no price was given" if report.cost_usd is None else figures.number(report.cost_usd),
    }


def spending(report: AuditReport) -> str:
    """The error rate that was asked for, and how the test spends it."""
    asked = f"Alpha {report.alpha:g}: the chance of calling an endpoint inconsistent that serves the reference"
    if report.looks:
        looks = f"looks after {', '.join(map(str, report.looks))} tokens"
        asked += f", split evenly over {len(report.looks)} {looks}"
    elif report.test in ("text", *DRAWN):
        asked += ", at whatever token one stops"
    return (
        f"{asked}. It holds for engines that differ from the profile's arithmetics no more than those among each other."
    )
