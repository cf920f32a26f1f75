"""`bitproof audit`: which model of a profile an endpoint serves.

The best test that the endpoint's access allows is taken, found with the first question: top logprobs, the logprob of
the chosen token, text at temperature 0, text at temperature 1. Probes are asked in an order that a seed draws, until
the test decides or the budget is spent. Three outcomes:

- **inconsistent**: the reference is ruled out;
- **consistent**: every variant of the profile is, its equals apart, and the reference is not;
- **inconclusive**: neither, or something that the test needs is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from bitproof.audit.choosing import first_tokens
from bitproof.audit.equals import equals
from bitproof.audit.logprobs import LOOKS, LogprobTest
from bitproof.audit.meter import Meter
from bitproof.audit.naming import Namer
from bitproof.audit.observe import Reader, Reading, probe_order, probe_requests, served
from bitproof.audit.preflight import alternatives, degenerate, findings, said
from bitproof.audit.profile import REFERENCE, Profile
from bitproof.audit.results import Answer, AuditReport
from bitproof.audit.standing import Standing
from bitproof.audit.text import SAMPLERS, TextTables, TextTest
from bitproof.audit.wording import words
from bitproof.engines.generation import Completion, Generator, Request
from bitproof.types import Progress

__all__ = ["TESTS", "AuditPlan", "TestName", "audit"]

TestName = Literal["top-logprobs", "logprob", "text", "sampled"]
TESTS: tuple[TestName, ...] = ("top-logprobs", "logprob", "text", "sampled")
BUDGETS: dict[TestName, int] = {"top-logprobs": 60, "logprob": 200, "text": 2000, "sampled": 5000}
SAMPLED_PROBES = 1 / 3  # of the profile's, those whose first tokens say most


@dataclass(frozen=True, kw_only=True)
class AuditPlan:
    """Fixed before the first request: the test (None: the best there is), its level, and the most answer tokens."""

    alpha: float = 0.01
    test: TestName | None = None
    top: int = 20
    max_tokens: int | None = None  # default: by test, `BUDGETS`
    seed: int = 0


def audit(
    engine: Generator,
    profile: Profile,
    plan: AuditPlan,
    *,
    endpoint: str = "",
    model: str = "",
    progress: Progress | None = None,
) -> AuditReport:
    """Ask an endpoint until it is decided, or the budget is spent. Raises what the engine raises."""
    return _Audit(engine, profile, plan).run(endpoint, model, progress)


class _Audit:
    def __init__(self, engine: Generator, profile: Profile, plan: AuditPlan) -> None:
        self.engine, self.profile, self.plan = engine, profile, plan
        self.reader = Reader(profile)
        self.equals = equals(profile)[REFERENCE]
        self.completions: list[Completion] = []
        self.readings: list[list[Reading]] = []  # of each completion
        self.kind: TestName | None = plan.test
        self.test: LogprobTest | TextTest | None = None

    def run(self, endpoint: str, model: str, progress: Progress | None) -> AuditReport:
        standing: Standing | None = None
        for request in self._requests():
            if self.failed or self.spent + request.max_tokens > self.budget:
                break
            self.engine.generate([request], self._keep)
            if self.test is None and not self._choose():
                continue
            assert self.test is not None
            self.test.add(self.readings[-1])
            standing = self.test.standing() or standing
            if progress:
                progress(min(self.spent, self.budget), self.budget, "answer tokens")
            if self.missing() or (standing and standing.outcome != "inconclusive"):
                break
        return self._report(standing, endpoint, model)

    @property
    def budget(self) -> int:
        """The most answer tokens."""
        return self.plan.max_tokens or BUDGETS[self.kind or "text"]

    @property
    def spent(self) -> int:
        """Answer tokens so far, as the endpoint counts them."""
        return sum(one.answer_tokens for one in self.completions)

    def _requests(self) -> Iterator[Request]:
        """Greedy questions, or, once that is the test, first tokens at temperature 1 over and over."""
        greedy = probe_requests(self.profile, probe_order(self.profile, seed=self.plan.seed), top_logprobs=self._asked)
        if self.kind != "sampled":
            yield from greedy
            return
        best = set(first_tokens(self.profile, SAMPLED_PROBES))
        kept = [request for request in greedy if int(request.key) in best]
        for sample in range(self.plan.max_tokens or BUDGETS["sampled"]):
            for request in kept:
                seed = self.plan.seed * 1_000_003 + sample
                key = f"{request.key}.{sample}"
                yield replace(request, key=key, max_tokens=1, temperature=1.0, seed=seed, top_logprobs=0)

    @property
    def _asked(self) -> int:
        """The logprobs to ask for."""
        return {"logprob": 1, "text": 0, "sampled": 0}.get(self.kind or "", self.plan.top)

    def _choose(self) -> bool:
        """Take the test that the first answer allows; False where there is no answer to tell from."""
        answered = [one for one in self.completions if one.finish != "error"]
        if not answered:
            return False
        given = alternatives(answered)
        if self.kind is None:
            usable = any(not degenerate(one.logprob) for one in said(answered))
            self.kind = "top-logprobs" if usable and given > 1 else "logprob" if usable and given else "text"
        alpha = self.plan.alpha
        if self.kind in ("top-logprobs", "logprob"):
            top = min(self.plan.top, given) if self.kind == "top-logprobs" else 1
            if top:
                looks = tuple(look for look in LOOKS if look < self.budget)
                looks += () if self.kind == "top-logprobs" else (80, 120, 160)
                self.test = LogprobTest(Namer(self.profile, top=top), alpha=alpha, looks=looks, ignored=self.equals)
        else:
            samplers = SAMPLERS if self.kind == "sampled" else None
            self.test = TextTest(TextTables(self.profile, samplers), alpha=alpha, ignored=self.equals)
        return self.test is not None

    def _keep(self, completion: Completion) -> None:
        self.completions.append(completion)
        self.readings.append(self.reader.read(completion))

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
        if self.kind in ("top-logprobs", "logprob") and answered:
            given = said(answered)
            if not given:
                found.append("the endpoint gives no logprobs")
            elif all(degenerate(one.logprob) for one in given):
                found.append("none of the endpoint's logprobs is one: they are not finite, above 0, or placeholders")
        if len(answered) >= 5 and not any(self.readings):
            found.append("none of its answers begins with anything that the reference would say")
        return found

    @property
    def other_prompts(self) -> str:
        """Whether the endpoint counts other prompt tokens than the reference's template makes, in words."""
        for one in self.completions:
            ours = self.profile.prompt_tokens[int(one.key.partition(".")[0])]
            if one.finish != "error" and one.prompt_tokens and one.prompt_tokens != ours:
                return (
                    f"it counts {one.prompt_tokens} prompt tokens where the reference's template makes {ours}: another"
                    " template, a hidden prompt or another tokenizer"
                )
        return ""

    def _report(self, standing: Standing | None, endpoint: str, model: str) -> AuditReport:
        readings = [reading for group in self.readings for reading in group]
        missing, noticed = self.missing(), findings(self.completions, asked=self._asked)
        if self.other_prompts:
            explains = standing is not None and standing.outcome == "inconsistent"
            (missing if explains else noticed).append(self.other_prompts)
        outcome = standing.outcome if standing and not missing else "inconclusive"
        meter = Meter(self.profile) if self.kind != "sampled" else None
        reading = meter.read(readings) if meter else None
        residuals, expected = self._residuals()
        report = AuditReport(
            endpoint=endpoint,
            model=model,
            reference=self.profile.reference,
            profile_digest=self.profile.digest,
            test=self.kind or "none",
            outcome=outcome,
            words="",
            closest=standing.closest if standing and not missing else (),
            excluded=standing.excluded if standing else (),
            equals=self.equals,
            probability=standing.probability if standing else {},
            fit=standing.fit if standing else {},
            names=self.profile.names,
            residuals=residuals,
            expected=expected,
            meter=reading,
            scale=meter.scale if meter else {},
            sampler=standing.sampler if standing else "",
            n_probes=len(self.completions),
            n_places=len(readings),
            answer_tokens=self.spent,
            prompt_tokens=sum(one.prompt_tokens for one in self.completions),
            top_logprobs=self.test.top if isinstance(self.test, LogprobTest) else 0,
            alpha=self.plan.alpha,
            looks=self.test.looks if isinstance(self.test, LogprobTest) else (),
            seed=self.plan.seed,
            answers=tuple(map(self._answer, self.completions, self.readings)),
            findings=tuple(noticed),
            missing=tuple(missing),
        )
        return replace(report, words=words(report))

    def _residuals(self) -> tuple[tuple[float, ...], dict[str, tuple[float, ...]]]:
        """The residual profile that was seen, and the one that each name has at the same places."""
        if not isinstance(self.test, LogprobTest) or not self.test.readings:
            return (), {}
        namer, answers = self.test.namer, served(self.test.readings, top=self.test.top)
        expected = {name: tuple(namer.expected(name, answers.places)[0].tolist()) for name in self.profile.names}
        return tuple(namer.seen(answers).tolist()), expected

    def _answer(self, completion: Completion, readings: list[Reading]) -> Answer:
        probe = int(completion.key.partition(".")[0])
        path = [int(token) for token in self.profile.path[probe] if token >= 0 and token not in self.profile.end_tokens]
        return Answer(
            question=self.profile.probes[probe],
            text=completion.text,
            reference="".join(self.profile.texts[token] for token in path),
            n_read=len(readings),
            error=completion.error if completion.finish == "error" else "",
        )
