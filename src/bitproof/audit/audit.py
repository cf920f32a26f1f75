"""`bitproof audit`: which model of a profile an endpoint serves.

The best test that the endpoint's access allows is taken, found with the first answers: top logprobs of a prompt that
holds the reference's answer, top logprobs of answers, the logprob of the chosen token, text at temperature 0, text at
temperature 1, with known random numbers where the server is llama.cpp. Probes are asked in an order that a seed draws,
until the test decides or the budget is spent. Three outcomes:

- **inconsistent**: the reference is ruled out;
- **consistent**: every variant of the profile is, its equals apart, and the reference is not;
- **inconclusive**: neither, or something that the test needs is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain, islice

from bitproof.audit.conversation import Conversation
from bitproof.audit.equals import equals, spread_nats
from bitproof.audit.logprobs import LogprobTest
from bitproof.audit.naming import namer_of
from bitproof.audit.observe import Reader, Reading, probe_order, probe_requests, sampled_requests
from bitproof.audit.plan import BUDGETS, DRAWN, NAMED_AFTER, AuditPlan, TestName
from bitproof.audit.preflight import alternatives, enough_said, logprob_fault, rounding_fault
from bitproof.audit.profile import REFERENCE, Profile
from bitproof.audit.prompts import as_answer, prompt_fault, prompt_requests
from bitproof.audit.purse import Purse
from bitproof.audit.repeats import Samples, logprobs_again, texts_again
from bitproof.audit.reporting import Gathered, report_of
from bitproof.audit.results import AuditReport
from bitproof.audit.seeded import TOP_K, seeded_tables_of, uniform_of
from bitproof.audit.standing import Standing, kept
from bitproof.audit.text import SAMPLERS, TextTest, tables_of
from bitproof.engines.generation import Completion, Generator, Request
from bitproof.errors import UsageError
from bitproof.types import Progress

__all__ = ["audit"]

PROMPT_DIALECTS = ("vllm", "openai")  # it is not known of any server of the second that it gives no prompt logprobs
FIRST_ANSWERS, MORE_ANSWERS = 3, 8  # by then it is known whose tokens they are, and what their logprobs are fit for
FEWEST_NAMED = 5  # answers before a name: all of them from a variant that answers a quarter has a chance of .001
FEWEST_NAMED_BY_TEXT = 12
NAMING_SHARE = 2 / 3  # of the budget: to ask the same again takes the rest
FEWEST_NAMELESS = 20  # answers before it is said that no name fits
SILENT = 5  # answers without anything to read, and there is nothing


def audit(
    engine: Generator,
    profile: Profile,
    plan: AuditPlan,
    *,
    endpoint: str = "",
    model: str = "",
    progress: Progress | None = None,
) -> AuditReport:
    """Ask an endpoint until it is decided, or the budget is spent.

    Raises what the engine raises before it has answered anything; an endpoint that fails later makes the audit
    inconclusive, with what was read.
    """
    run = _Audit(engine, profile, plan, progress)
    standing = run.run()
    gathered = Gathered(
        profile=profile,
        kind=run.kind or "none",
        test=run.test,
        talk=run.talk,
        readings=run.readings,
        equals=run.equals,
        noticed=run.noticed,
        lacking=run.lacking,
        heard=getattr(engine, "heard", None),
    )
    report = report_of(gathered, standing, alpha=plan.alpha, seed=plan.seed, endpoint=endpoint, model=model)
    return replace(report, cost_usd=run.talk.purse.cost_usd)


class _Audit:
    def __init__(self, engine: Generator, profile: Profile, plan: AuditPlan, progress: Progress | None) -> None:
        self.profile, self.plan, self.progress, self._engine = profile, plan, progress, engine
        self.kind: TestName | None = plan.test
        top = {"logprob": 1, "text": 0, "seeded": 0, "sampled": 0}.get(plan.test or "", plan.top)
        self.reader, self.floor_nats = Reader(profile), spread_nats(profile)
        purse = Purse(max_cost_usd=plan.max_cost_usd, price=plan.price)
        self.talk = Conversation(engine, top=top, purse=purse, see=partial(as_answer, profile))
        may_read_prompts = plan.test is None and plan.top > 1 and getattr(engine, "dialect", "") in PROMPT_DIALECTS
        self._prompts, self._no_prompts = may_read_prompts or plan.test == "prompt-logprobs", ""
        self.equals = equals(profile)[REFERENCE]
        self.readings: dict[str, list[Reading]] = {}  # of what a test was given, by its key
        self.test: LogprobTest | TextTest | None = None
        self.noticed: list[str] = []
        self.lacking: list[str] = []  # what keeps a verdict from being given
        self._first: list[Completion] = []  # answers that wait until a test is chosen
        self._drawn: dict[str, float] = {}  # the random number of each answer, as llama.cpp draws it, by its key
        self._words_only = False  # tokens have other names than the reference's

    @property
    def budget(self) -> int:
        """The most answer tokens."""
        return self.plan.max_tokens or BUDGETS[self.kind or "text"]

    def run(self) -> Standing | None:
        """Ask; how things stand after the last answer, for a report."""
        standing = None
        if self.kind not in DRAWN:
            order = probe_order(self.profile, seed=self.plan.seed)
            if self._prompts:
                standing = self._prompted(order)
            if self.kind != "prompt-logprobs" and not self.talk.warm:
                requests = probe_requests(self.profile, order, top_logprobs=self.talk.top)
                standing = self._greedy(map(self._ask, requests))
            if self.talk.warm:
                self._warm(self.talk.warm)
            elif standing and standing.outcome != "inconclusive" and not self.lacking:
                standing = self._ask_again(standing)
        if self.kind == "seeded":
            standing = self._sampled()
        if self.kind == "sampled":
            standing = self._sampled()
        if self.talk.broken:
            self.lacking.insert(0, self.talk.broken)
        spent = self.talk.purse.spent
        if not self.talk.completions and not self.lacking:
            self.lacking.append(f"one question takes more than {spent or f'the budget of {self.budget} answer tokens'}")
        elif spent:
            self.noticed.append(f"{spent} allows no further question")
        if self._no_prompts and self.talk.answered:  # what refuses everything does not refuse this
            self.noticed.insert(0, self._no_prompts)
        if standing is None and self.test is not None:
            described = self.test.now()
            standing = described and replace(described, outcome="inconclusive")
        return standing

    def _prompted(self, order: list[int]) -> Standing | None:
        """The reference's answers given as a part of prompts; the first one says whether that can be read.

        A request that fails for another reason than its form is a failure like any other.
        """
        chosen = self.plan.test is not None
        answers = map(self._ask, prompt_requests(self.profile, order, top=self.plan.top))
        try:
            first = next(answers, None)
        except UsageError:
            if chosen:
                raise
            return None  # asked in the usual form, it says whether that was why
        while first is not None and first.finish == "error" and not self.talk.is_refused(first):
            first = next(answers, None) if chosen else None
        if first is None:
            return None
        fault = prompt_fault(self.profile, first, floor_nats=self.floor_nats)
        if not fault:
            self.kind = "prompt-logprobs"
            self.test = self._test(min(self.plan.top, alternatives([first])))
            return self._greedy(chain([first], answers))
        self.talk.set_aside()
        self._no_prompts = fault
        self.lacking += [fault] * chosen
        return None

    def _greedy(self, completions: Iterable[Completion | None]) -> Standing | None:
        standing: Standing | None = None
        for completion in completions:
            if completion is None:
                break
            self._first.append(completion)
            if self.test is None and not self._choose():
                if self.lacking:
                    break
                continue
            standing = kept(standing, self._look())
            if self.lacking or self._settled(standing):
                break
        return standing

    def _settled(self, standing: Standing | None) -> bool:
        """Whether there is nothing left to ask: where the reference is ruled out, a name is worth some more tokens."""
        if standing is None or standing.outcome == "inconclusive":
            return False
        enough_spent = min(NAMED_AFTER[self.kind or "text"], NAMING_SHARE * self.budget)
        if standing.outcome == "consistent" or self.talk.spent >= enough_spent:
            return True
        fewest = FEWEST_NAMED_BY_TEXT if self.kind == "text" else FEWEST_NAMED
        enough = {0: FEWEST_NAMELESS, 1: fewest}.get(len(standing.closest))
        return standing.clear and enough is not None and len(self.talk.answered) >= enough

    def _sampled(self) -> Standing | None:
        """First tokens at temperature 1, over and over, unless they come from a cache.

        Where the random numbers should be known and are not, a plan that leaves the test open goes on without.
        """
        seeded, seed = self.kind == "seeded", self.plan.seed
        tables = seeded_tables_of(self.profile) if seeded else tables_of(self.profile, SAMPLERS)
        self.test = TextTest(tables, alpha=self.plan.alpha, ignored=self.equals)
        samples = Samples(self.profile)
        standing: Standing | None = None
        order = probe_order(self.profile, seed=seed)
        requests = sampled_requests(self.profile, order, seed=seed, top_k=TOP_K if seeded else 0)
        for request in islice(requests, self.budget):
            completion = self._ask(request)
            if completion is None:
                break
            self._first.append(completion)
            if seeded:
                self._drawn[completion.key] = uniform_of(request.seed)
            standing = kept(standing, self._look())
            if fault := samples.fault(completion):
                self.lacking.append(fault)
            if seeded and standing and standing.sampler:
                why = f"its tokens are drawn with {standing.sampler}, and cannot be foretold from its seeds"
                self.talk.set_aside()
                self._take_instead("sampled", why)
                return None
            if self.lacking or self._settled(standing):
                break
        return standing

    def _ask(self, request: Request) -> Completion | None:
        """One answer, if there is budget for it and the endpoint still answers."""
        if self.talk.broken or self.talk.spent + self.talk.needs(request) > self.budget:
            return None
        if not self.talk.purse.holds(request):
            return None
        completion = self.talk.ask(request)
        if self.progress:
            self.progress(min(self.talk.spent, self.budget), self.budget, "answer tokens")
        return completion

    def _look(self) -> Standing | None:
        """Give the test what has come, and see how things stand."""
        assert self.test is not None
        for completion in self._first:
            unread = self.kind == "prompt-logprobs" and not completion.logprobs
            seen = replace(completion, logprobs=None) if self._words_only else completion
            readings = [] if unread else self.reader.read(seen)
            self.readings[completion.key] = readings
            if self.kind == "seeded":
                readings = [replace(one, drawn=self._drawn[completion.key]) for one in readings]
            if isinstance(self.test, LogprobTest):  # a token with fewer logprobs than expected would look far away
                few = [max(1, len(token.top)) < self.test.top for token in completion.logprobs or ()]
                readings = [one for one, left_out in zip(readings, few, strict=False) if not left_out]
            self.test.add(readings)
        self._first.clear()
        if len(self.talk.answered) >= SILENT and not any(self.readings.values()):
            self.lacking.append("none of its answers begins with anything that the reference would say")
        return self.test.standing()

    def _choose(self) -> bool:
        """Take the test that the first answers allow; False where they are too few to tell, or allow none."""
        answered = [one for one in self.talk.answered if one.text or one.logprobs]
        if not answered:
            self.lacking += ["all of its answers are empty"] * (len(self.talk.answered) >= SILENT)
            return False
        if self.kind in (None, "top-logprobs", "logprob"):
            known = any(one.said for each in answered for one in self.reader.read(each))
            fault = logprob_fault(answered, floor_nats=self.floor_nats)
            early = len(answered) < (MORE_ANSWERS if known else FIRST_ANSWERS)
            if not fault and early and not (known and enough_said(answered)):
                return False
            if not fault and not known:
                self._words_only = True
                fault = "its tokens are none that the reference would say: another tokenizer, or other names"
            if fault and self.kind is not None:
                self.lacking.append(fault)
                return False
            if fault and self.talk.top:
                self.noticed.append(f"{fault}; its text was read instead")
            several = alternatives(answered) > 1
            self.kind = self.kind or ("text" if fault else "top-logprobs" if several else "logprob")
        self.test = self._test(min(self.plan.top, alternatives(answered)))
        return True

    def _test(self, top: int) -> LogprobTest | TextTest:
        alpha = self.plan.alpha
        if self.kind == "text":
            return TextTest(tables_of(self.profile), alpha=alpha, ignored=self.equals)
        namer, prompts = namer_of(self.profile, 1 if self.kind == "logprob" else top), self.kind == "prompt-logprobs"
        return LogprobTest(namer, alpha=alpha, most=self.budget, ignored=self.equals, by_request=prompts)

    def _ask_again(self, standing: Standing) -> Standing:
        """Before a verdict: whether the same questions are still answered alike."""
        if isinstance(self.test, LogprobTest):
            fault = rounding_fault(self.talk.answered, floor_nats=self.floor_nats)  # more answers show more of it
            self.lacking += [fault] * bool(fault)
            if not standing.closest:
                self.noticed += logprobs_again(self.talk, self._ask, floor_nats=self.floor_nats)
            return standing
        again = texts_again(self.talk, self._ask, standing)
        self.noticed += [again.noticed] * bool(again.noticed)
        self.lacking += [again.lacking] * bool(again.lacking)
        if again.warm:
            self._warm(again.warm)
        return again.standing

    def _warm(self, why: str) -> None:
        """Temperature 0 cannot be relied on: take text at temperature 1."""
        self._take_instead("seeded" if getattr(self._engine, "dialect", "") == "llamacpp" else "sampled", why)

    def _take_instead(self, kind: TestName, why: str) -> None:
        """Go on with another test, where the plan leaves that open."""
        if self.plan.test is not None:
            self.lacking.append(why)
            return
        self.noticed.append(f"{why}; text at temperature 1 was read instead")
        self.kind, self.test = kind, None
        self.readings.clear()
        self._first.clear()
