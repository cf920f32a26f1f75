"""Two sides' answers as they come, what they say so far, and the verdict; see `closed` for the order of asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from bitproof.audit.closed_faults import Fault, differing_pairs, faults
from bitproof.audit.closed_results import WHAT, Asked, Channel, ChannelName, ClosedOutcome, ClosedReport
from bitproof.audit.evidence import Watch, channels_of
from bitproof.audit.purse import Price, Purse
from bitproof.audit.recording import Answer, Asking, Recording
from bitproof.audit.sitting import Sitter, greedy_requests, kind_of, probe_order, sampled_requests
from bitproof.engines.generation import Generator, Request
from bitproof.types import NotMeasured, Progress

__all__ = ["ClosedPlan", "Comparison"]

MOST_LOST = 0.1  # share of requests that may fail
ASKED_AGAIN = 5  # greedy answers, before a difference in them is believed


@dataclass(frozen=True, kw_only=True)
class ClosedPlan:
    """Fixed before the first request. `asking` is for recordings and endpoints; a recording brings its own.

    `alpha` is the chance of calling an endpoint different that answers as it did; differences of logprobs up to
    `least_nats` are taken for rounding and the batches of the moment. `max_tokens` are of answers, of both endpoints
    together; `price` is US dollars for a million prompt tokens and for a million answer tokens.
    """

    asking: Asking | None = None
    alpha: float = 0.01
    least_nats: float = 0.01
    max_tokens: int | None = None
    seed: int = 0
    max_cost_usd: float | None = None
    price: Price | None = None

    def purse(self) -> Purse:
        """What the plan may cost, yet unspent."""
        return Purse(max_tokens=self.max_tokens, max_cost_usd=self.max_cost_usd, price=self.price)


class Comparison:
    """Two sides' answers as they come, and what they say so far."""

    def __init__(
        self,
        asking: Asking,
        plan: ClosedPlan,
        names: tuple[str, str],
        *,
        recording: Recording | None = None,
        purse: Purse | None = None,
    ) -> None:
        self.asking, self.plan, self.names, self.recording = asking, plan, names, recording
        self.purse = purse or plan.purse()
        channels = channels_of(asking)
        self.watches = [
            Watch(name, asking, level=plan.alpha / len(channels), least_nats=plan.least_nats, seed=plan.seed + number)
            for number, name in enumerate(channels)
        ]
        self.sitters = [Sitter(self.purse), Sitter(self.purse)]
        self.progress: Progress | None = None
        self.total = self.done = 0
        self.ended: set[bool] = set()  # whether sampled: the phases in which all was asked
        self.own_p_values: dict[ChannelName, float] = {}  # of the recording's sittings
        self.findings: list[str] = []
        self.extra: list[Fault] = []
        self._judged, self._faults = list[int](), list[Fault]()

    def ask_one(self, engine: Generator, requests: Sequence[Request], order: Sequence[int]) -> None:
        """Ask the second side; a question is compared once all before it are, whichever is answered first."""
        if self.over:
            return
        pending: dict[int, int] = {}
        for request in requests:
            probe = kind_of(request.key)[1]
            pending[probe] = pending.get(probe, 0) + 1
        waiting, sampled = list(order), kind_of(requests[0].key)[0]

        def keep(key: str, answer: Answer | None) -> None:
            self._step()
            pending[kind_of(key)[1]] -= 1
            while waiting and not pending[waiting[0]] and not self.found:
                self._add(waiting.pop(0), sampled=sampled)

        self.sitters[1].ask(engine, requests, on_answer=keep, enough=lambda: self.over)
        if not waiting:
            self._end(sampled=sampled)

    def ask_both(self, engines: Sequence[Generator], label: str) -> None:
        """Ask both sides, one request at a time, each question's requests in a random order."""
        random, order = Random(label), probe_order(self.asking, label=label)
        for sampled in (False, True):
            for probe in order:
                requests = [
                    (side, request) for side in (0, 1) for request in self._requests(probe, side, sampled, label)
                ]
                random.shuffle(requests)
                for side, request in requests:
                    if not self.over:
                        self.sitters[side].ask(engines[side], [request])
                        self._step()
                if self.over:
                    return
                self._add(probe, sampled=sampled)
            self._end(sampled=sampled)

    def confirm(self, engine: Generator) -> None:
        """Before a difference of greedy texts is believed: does the endpoint still repeat itself at temperature 0?"""
        greedy = next(watch for watch in self.watches if watch.name == "greedy")
        if not greedy.evidence.found or "greedy" in self.spoiled() or self._finds("logprobs"):
            return
        assert self.recording is not None
        sitter, pieces = self.sitters[1], self.asking.greedy_tokens
        probes = [answer.probe for answer in sitter.answers[-ASKED_AGAIN:]]
        first = [answer for answer in sitter.answers if answer.probe in probes]
        before = len(sitter.answers)
        sitter.ask(engine, greedy_requests(self.asking, probes, number=1))
        again = differing_pairs([*first, *sitter.answers[before:]], pieces=pieces)
        own = differing_pairs([answer for answer in self._answers(0) if not answer.sampled], pieces=pieces)
        if again is not None and again >= 0.5 > 2 * (own or 0.0):
            words = (
                f"the endpoint answers otherwise in {100 * again:.0f} % of repeats at temperature 0, where"
                f" {100 * (own or 0.0):.0f} % did when recorded: its temperature is locked, or several models answer"
            )
            self.extra.append(Fault(words, ("greedy",)))

    @property
    def found(self) -> bool:
        """Whether a kind of evidence that no fault spoils has found a difference."""
        return any(self._finds(watch.name) for watch in self.watches)

    @property
    def over(self) -> bool:
        return self.found or bool(self.purse.spent) or any(sitter.broken for sitter in self.sitters)

    def spoiled(self) -> dict[ChannelName, str]:
        """Kinds of evidence that are not to be relied on, and why."""
        return {name: fault.words for fault in reversed(self.faults()) for name in fault.spoils}

    def faults(self) -> list[Fault]:
        sides = [self._answers(0), self._answers(1)]
        if self._judged != (sizes := [len(side) for side in sides]):  # it is asked for with every request
            self._judged, self._faults = sizes, faults(sides, self.names, self.asking)
        return [*self._faults, *self.extra]

    def report(self, missing: list[str], *, endpoint: str, model: str, against: str) -> ClosedReport:
        """The verdict on what was asked."""
        missing = [*missing, *self._missing()]
        found, spoiled = self.found, self.spoiled()
        look = len(self.ended) == 2 and not found and not missing
        in_turn = NotMeasured("both were asked in turn, in random order")
        channels = tuple(
            watch.channel(
                spoiled=spoiled.get(watch.name, ""),
                sittings_p_value=self.own_p_values.get(watch.name, in_turn),
                look=look,
            )
            for watch in self.watches
        )
        outcome: ClosedOutcome = "different" if found else "consistent" if _seen(channels) and look else "inconclusive"
        if not found and look and not _seen(channels):
            missing.append("too few questions could be compared")
        return ClosedReport(
            endpoint=endpoint,
            model=model,
            against=against,
            recording_digest=self.recording.digest if self.recording else "",
            sittings=tuple(sitting.began for sitting in self.recording.sittings) if self.recording else (),
            outcome=outcome,
            words=_words(outcome, channels, missing, against),
            channels=channels,
            n_requests=self.purse.n_requests,
            answer_tokens=self.purse.answer_tokens,
            prompt_tokens=self.purse.prompt_tokens,
            alpha=self.plan.alpha,
            least_nats=self.plan.least_nats,
            seed=self.plan.seed,
            findings=(*self.findings, *(self.recording.findings if self.recording else ())),
            missing=tuple(missing),
            answers=tuple(self._asked()),
            cost_usd=self.purse.cost_usd,
        )

    def _requests(self, probe: int, side: int, sampled: bool, label: str) -> list[Request]:
        if sampled:
            return sampled_requests(self.asking, [probe], label=f"{label} {side}")
        return [
            request
            for number in range(self.asking.repeats)
            for request in greedy_requests(self.asking, [probe], number=number)
        ]

    def _answers(self, side: int) -> list[Answer]:
        return self.recording.answers if side == 0 and self.recording is not None else self.sitters[side].answers

    def _asked(self) -> Iterator[Asked]:
        """Every question that was asked now, with all answers to it."""
        texts: list[dict[tuple[bool, int], Counter[str]]] = [{}, {}]
        for side in (0, 1):
            for answer in self._answers(side):
                texts[side].setdefault((answer.sampled, answer.probe), Counter())[answer.text] += 1
        for (sampled, probe), answered in sorted(texts[1].items()):
            yield Asked(
                question=self.asking.probes[probe],
                sampled=sampled,
                against=tuple(texts[0].get((sampled, probe), Counter()).most_common()),
                answered=tuple(answered.most_common()),
            )

    def _add(self, probe: int, *, sampled: bool) -> None:
        sides = [
            [answer for answer in self._answers(side) if answer.probe == probe and answer.sampled == sampled]
            for side in (0, 1)
        ]
        for watch in self.watches:
            if (watch.name == "sampled") == sampled:
                watch.add(sides)

    def _end(self, *, sampled: bool) -> None:
        """All requests of one phase have been asked, and its permutation tests are made."""
        self.ended.add(sampled)
        for watch in self.watches:
            if (watch.name == "sampled") == sampled:
                watch.evidence.end()

    def _finds(self, name: str) -> bool:
        watch = next((watch for watch in self.watches if watch.name == name), None)
        return watch is not None and watch.evidence.found and watch.name not in self.spoiled()

    def _step(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total, "answers")

    def _missing(self) -> list[str]:
        found = [fault.words for fault in self.faults()]
        for sitter, name in zip(self.sitters, self.names, strict=True):
            if sitter.broken:
                found.append(f"{name} fails: {sitter.broken}")
            elif sitter.lost > MOST_LOST * sitter.asked:
                found.append(f"{name} answered {sitter.asked - sitter.lost} of {sitter.asked} requests")
        if self.purse.spent:
            found.append(f"{self.purse.spent} allows no more than {self.done} of {self.total} requests")
        return found


def _seen(channels: Sequence[Channel]) -> bool:
    return any(not isinstance(channel.smallest, NotMeasured) for channel in channels)


def _words(outcome: ClosedOutcome, channels: Sequence[Channel], missing: Sequence[str], against: str) -> str:
    if outcome == "different":
        kinds = " and ".join(WHAT[channel.name] for channel in channels if channel.found)
        return f"Different from {against}, in its {kinds}."
    if outcome == "inconclusive":
        return f"Inconclusive: {'; '.join(missing)}."
    return f"Consistent with {against}: no difference was found."
