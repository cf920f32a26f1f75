"""`bitproof audit`: which model of a profile an endpoint serves, from the logprobs of a few tokens.

Probes are asked one after another, in an order that a seed draws. After as many tokens as the plan's looks say, the
residual profile is compared with every model's. Three outcomes:

- **inconsistent**: the profile that was seen would be as far from the reference in less than alpha of audits, and the
  posterior of the reference is below alpha; alpha is split evenly over the looks;
- **consistent**: the reference would look like this, and every variant would in less than alpha of audits;
- **inconclusive**: neither, or something that the test needs is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from bitproof.audit.naming import Namer, Naming
from bitproof.audit.observe import Reader, probe_order, probe_requests
from bitproof.audit.preflight import alternatives, degenerate, findings, said
from bitproof.audit.profile import REFERENCE, Profile
from bitproof.audit.results import AuditReport, Outcome
from bitproof.engines.generation import Completion, Generator
from bitproof.types import Progress

__all__ = ["AuditPlan", "audit"]


@dataclass(frozen=True, kw_only=True)
class AuditPlan:
    """Fixed before the first request: `looks` are numbers of compared tokens, `top` the logprobs at each."""

    alpha: float = 0.01
    top: int = 20
    looks: tuple[int, ...] = (5, 10, 20, 40, 60)
    seed: int = 0

    @staticmethod
    def looks_until(most: int) -> tuple[int, ...]:
        """The default looks up to `most` tokens, which is the last."""
        return (*(look for look in AuditPlan.looks if look < most), most)


def audit(
    engine: Generator,
    profile: Profile,
    plan: AuditPlan,
    *,
    endpoint: str = "",
    model: str = "",
    progress: Progress | None = None,
) -> AuditReport:
    """Ask an endpoint until it is decided, or the last look is over. Raises what the engine raises."""
    return _Audit(engine, profile, plan).run(endpoint, model, progress)


class _Audit:
    def __init__(self, engine: Generator, profile: Profile, plan: AuditPlan) -> None:
        self.engine, self.profile, self.plan = engine, profile, plan
        self.reader = Reader(profile, top=plan.top)
        self.namer: Namer | None = None  # made for as many logprobs as the endpoint gives
        self.completions: list[Completion] = []

    def run(self, endpoint: str, model: str, progress: Progress | None) -> AuditReport:
        plan = self.plan
        waiting = iter(probe_requests(self.profile, probe_order(self.profile, seed=plan.seed), top_logprobs=plan.top))
        naming, outcome, looked = None, "inconclusive", []
        for look in plan.looks:
            while len(self.reader.places) < look:
                request = next(waiting, None)
                if request is None or self.failed:
                    break
                self.engine.generate([request], self._keep)
                if progress:
                    progress(min(len(self.reader.places), look), plan.looks[-1], "tokens compared")
            if not self.reader.places or self.missing():
                break
            top = min(plan.top, alternatives(self.completions))
            if self.namer is None or self.namer.top != top:
                self.namer = Namer(self.profile, top=top)
            naming = self.namer.name(self.reader.served())
            looked.append(len(self.reader.places))
            outcome = self._outcome(naming)
            if outcome != "inconclusive":
                break
        return self._report(naming, outcome, tuple(looked), endpoint, model)  # type: ignore[arg-type]

    def _keep(self, completion: Completion) -> None:
        self.completions.append(completion)
        if completion.finish != "error":
            self.reader.add(completion)

    @property
    def failed(self) -> bool:
        """Whether the endpoint has stopped answering: three failures, one after another."""
        return [one.finish for one in self.completions[-3:]] == ["error"] * 3

    def missing(self) -> list[str]:
        """What the test needs and the endpoint does not give."""
        answered = [one for one in self.completions if one.finish != "error"]
        found = []
        if self.failed:
            found.append(f"the endpoint fails: {self.completions[-1].error}")
        given = said(answered)
        if answered and not given:
            found.append("the endpoint gives no logprobs")
        elif given and all(degenerate(one.logprob) for one in given):
            found.append("none of the endpoint's logprobs is one: they are not finite, above 0, or placeholders")
        wrong = sorted(
            {
                (one.prompt_tokens, self.profile.prompt_tokens[int(one.key)])
                for one in answered
                if one.prompt_tokens and one.prompt_tokens != self.profile.prompt_tokens[int(one.key)]
            }
        )
        if wrong:
            theirs, ours = wrong[0]
            found.append(
                f"it counts {theirs} prompt tokens where the reference's template makes {ours}: another template, a"
                " hidden prompt or another tokenizer"
            )
        return found

    def _outcome(self, naming: Naming) -> Outcome:
        level = self.plan.alpha / len(self.plan.looks)
        reference = naming.probability[REFERENCE]
        if naming.fit[REFERENCE] < level and reference < level:
            return "inconsistent"
        others = (fit for name, fit in naming.fit.items() if name != REFERENCE)
        return "consistent" if naming.fit[REFERENCE] >= level and max(others, default=0.0) < level else "inconclusive"

    def _report(
        self, naming: Naming | None, outcome: Outcome, looked: tuple[int, ...], endpoint: str, model: str
    ) -> AuditReport:
        served, missing = self.reader.served(), tuple(self.missing())
        level = self.plan.alpha / len(self.plan.looks)
        seen, expected = self.namer.profiles(served) if self.namer else ((), {})
        fits = naming is not None and max(naming.fit.values()) >= level
        closest = naming.credible if naming is not None and fits else ()
        return AuditReport(
            endpoint=endpoint,
            model=model,
            reference=self.profile.reference,
            profile_digest=self.profile.digest,
            outcome=outcome,
            words=_words(outcome, closest, missing, self.profile.reference),
            closest=closest,
            probability={} if naming is None else naming.probability,
            fit={} if naming is None else naming.fit,
            names=self.profile.names,
            residuals=seen,
            expected=expected,
            n_probes=len(self.completions),
            n_places=len(served.places),
            answer_tokens=sum(one.answer_tokens for one in self.completions),
            prompt_tokens=sum(one.prompt_tokens for one in self.completions),
            top_logprobs=min(self.plan.top, alternatives(self.completions)),
            alpha=self.plan.alpha,
            looks=looked,
            seed=self.plan.seed,
            findings=tuple(findings(self.completions, asked=self.plan.top)),
            missing=missing,
        )


def _words(outcome: Outcome, closest: tuple[str, ...], missing: tuple[str, ...], reference: str) -> str:
    if missing:
        return f"Inconclusive: {'; '.join(missing)}."
    if outcome == "consistent":
        return f"Consistent with {reference}."
    if outcome == "inconsistent":
        named = f"the closest is {' or '.join(closest)}" if closest else "and with every variant in the profile"
        return f"Inconsistent with {reference}: {named}."
    return f"Inconclusive: it may be {' or '.join(closest)}; more tokens would decide." if closest else "Inconclusive."
