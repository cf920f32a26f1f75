"""bitproof's own tests on cached answers: audits drawn from the hold-out prompts, with the tests that audits use.

An audit asks prompts in the order that its seed draws, each once (first tokens at temperature 1: over and over, each
cached sample once), and stops where its test decides or the answers end. Its cost is the tokens of the answers that it
asked for. Of 2,000 audits: how many tokens 95 % of them had needed to rule the reference out, how often they did, and
what they named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.audit_cache import Answer, read_answers, seed_of
from bitproof.audit.choosing import sampling_order
from bitproof.audit.equals import equals
from bitproof.audit.logprobs import LogprobTest
from bitproof.audit.naming import namer_of
from bitproof.audit.observe import SHORT_QUESTIONS, Reader, Reading, probe_order
from bitproof.audit.plan import BUDGETS, DRAWN
from bitproof.audit.probes import probe_texts
from bitproof.audit.profile import REFERENCE, read_profile
from bitproof.audit.seeded import seeded_tables_of, uniform_of
from bitproof.audit.standing import NOISE, Standing, Test
from bitproof.audit.text import SAMPLERS, TextTest, tables_of
from bitproof.engines.generation import Completion

POWER = 0.95
TEST_OF = {"top-20": "top-logprobs", "top-5": "top-logprobs"}
SELDOM = 20  # a test of samples looks every twentieth of what it has; an audit looks after every token
SEED = 1  # of the hold-out prompts
POOL = 240
SEVERAL = 3  # times as many questions as there are samples: those without any are passed over


@dataclass(frozen=True)
class Asked:
    """One request of a served class: what was read of its answer, and the tokens it cost."""

    probe: int
    readings: list[Reading]
    cost: int


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Of many audits of one endpoint: arrays [audits]."""

    outcome: list[str]
    named: list[str]
    cost: np.ndarray  # answer tokens until decided, or all there were

    @property
    def accused(self) -> float:
        """The share of audits that ruled the reference out."""
        return self.outcome.count("inconsistent") / len(self.outcome)

    @property
    def tokens(self) -> float | None:
        """Tokens after which 95 % had ruled the reference out; None where fewer ever did."""
        found = np.sort(np.where(np.array(self.outcome) == "inconsistent", self.cost, np.inf))
        value = found[int(np.ceil(POWER * len(found))) - 1]
        return float(value) if np.isfinite(value) else None

    def names(self) -> Counter[str]:
        """What the audits named."""
        return Counter(self.named)


class Bench:
    """The hold-out profile and the cached answers of its probes."""

    def __init__(self, file: Path, answers: Path) -> None:
        self.file, self.profile, self.answers = file, read_profile(file), answers
        profile = self.profile
        numbers = {text: number for number, text in enumerate(probe_texts(POOL, seed=SEED))}
        self.cached = [numbers[text] for text in profile.probes]  # hold-out prompt of each probe
        self._depth = (profile.path >= 0).sum(1)
        self.equals = equals(profile)[REFERENCE]

    def there(self, engine: str, served: str, access: str) -> bool:
        """Whether it has been served."""
        return (self.answers / engine / served / f"{setting_of(access)}.jsonl").exists()

    def asked(self, engine: str, served: str, access: str) -> list[Asked]:
        """Every answer, as `access` shows it: "top-20", "top-5", "logprob", "text", "sampled" or "seeded"."""
        _, answers = read_answers(self.answers / engine / served / f"{setting_of(access)}.jsonl")
        if access in DRAWN:
            return self._first_tokens(answers, engine, served)
        by_probe = {answer.probe: answer for answer in answers}
        reader, found = Reader(self.profile), []
        for probe, cached in enumerate(self.cached):
            answer = by_probe[cached]
            completion = _shown(answer, probe, int(self._depth[probe]), access)
            found.append(Asked(probe, reader.read(completion), completion.answer_tokens))
        return found

    def _first_tokens(self, answers: Sequence[Answer], engine: str, served: str) -> list[Asked]:
        reader, probes, found = Reader(self.profile), {text: n for n, text in enumerate(self.cached)}, []
        for answer in answers:
            probe = probes[answer.probe]
            shown = _shown(answer, probe, 1, "text")
            drawn = uniform_of(seed_of(engine, served, f"{answer.probe}.{answer.sample}"))
            found.append(Asked(probe, [replace(one, drawn=drawn) for one in reader.read(shown)], shown.answer_tokens))
        return found

    def order(self, asked: Sequence[Asked], access: str, seed: int) -> list[Asked]:
        """As an audit asks: greedy answers in the order of `probe_order`, samples in that of `sampling_order`."""
        random, samples = np.random.default_rng(seed), defaultdict[int, list[Asked]](list)
        for number in random.permutation(len(asked)):
            samples[asked[number].probe].append(asked[number])
        order = [probe for probe in probe_order(self.profile, seed=seed) if probe in samples]
        if access not in DRAWN:
            return [samples[probe].pop() for probe in order]
        every = islice(sampling_order(self.profile, order), SEVERAL * len(asked))
        return [samples[probe].pop() for probe in every if samples[probe]]

    def test(self, access: str, alpha: float) -> Test:
        """A fresh test."""
        if access == "seeded":
            return TextTest(seeded_tables_of(self.profile), alpha=alpha, ignored=self.equals)
        if access == "sampled":
            return TextTest(tables_of(self.profile, SAMPLERS), alpha=alpha, ignored=self.equals)
        if access == "text":
            return TextTest(tables_of(self.profile), alpha=alpha, ignored=self.equals)
        top = {"top-20": 20, "top-5": 5, "logprob": 1}[access]
        return LogprobTest(namer_of(self.profile, top), alpha=alpha, ignored=self.equals)

    def shortened(self, asked: Sequence[Asked], access: str) -> Iterator[Asked]:
        """What an audit asks: of the first questions of a test of logprobs a token each."""
        for number, one in enumerate(asked):
            short = access not in ("text", *DRAWN) and number < SHORT_QUESTIONS
            yield Asked(one.probe, one.readings[:1], min(1, one.cost)) if short else one

    def audits(self, asked: Sequence[Asked], access: str, *, n: int, alpha: float = 0.01, seed: int = 0) -> Outcomes:
        """`n` audits, each in an order of its own."""
        outcome, named, costs = list[str](), list[str](), list[int]()
        most = BUDGETS[TEST_OF.get(access, access)]  # type: ignore[index]
        for number in range(n):
            order = self.shortened(self.order(asked, access, seed + number), access)
            standing, cost = run(self.test(access, alpha), order, most, seldom=access == "sampled")
            outcome.append(standing.outcome if standing else "inconclusive")
            named.append(best_of(standing))
            costs.append(cost)
        return Outcomes(outcome=outcome, named=named, cost=np.array(costs))

    def named_after(self, asked: Sequence[Asked], access: str, tokens: int, *, n: int, seed: int = 0) -> Counter[str]:
        """What is named once `tokens` tokens are asked for, decided or not."""
        found = Counter[str]()
        for number in range(n):
            cost = 0
            test = self.test(access, 1e-9)
            for one in self.shortened(self.order(asked, access, seed + number), access):
                test.add(one.readings)
                cost += one.cost
                if cost >= tokens:
                    break
            found[best_of(test.now())] += 1
        return found


def run(test: Test, asked: Iterable[Asked], most: int, *, seldom: bool = False) -> tuple[Standing | None, int]:
    """Feed a test until it decides or `most` tokens are spent."""
    standing, cost = None, 0
    for number, one in enumerate(asked, 1):
        if cost + one.cost > most:
            break
        test.add(one.readings)
        cost += one.cost
        if seldom and number % max(1, number // SELDOM):
            continue
        standing = test.standing() or standing
        if standing and standing.outcome != "inconclusive":
            break
    return standing, cost


def setting_of(access: str) -> str:
    """The setting whose answers an access reads."""
    return {"sampled": "first1", "seeded": "seeded1"}.get(access, "greedy8")


def best_of(standing: Standing | None) -> str:
    """The name an audit would say: the likeliest, or that none fits."""
    if standing is None or not standing.probability:
        return ""
    return standing.closest[0] if standing.closest else NOISE


def _shown(answer: Answer, probe: int, depth: int, access: str) -> Completion:
    tokens = (answer.tokens or ())[:depth]
    text = "".join(token.text for token in tokens) if answer.answer_tokens > depth else answer.text
    cost = min(answer.answer_tokens, depth)
    finish = answer.finish if answer.answer_tokens <= depth else "length"
    plain = Completion(key=str(probe), text=text, finish=finish, answer_tokens=cost, prompt_tokens=answer.prompt_tokens)
    if access == "text":
        return plain
    if access == "logprob":
        return replace(plain, logprobs=tuple(replace(token, top=()) for token in tokens))
    top = int(access.removeprefix("top-"))
    return replace(plain, logprobs=tuple(replace(token, top=token.top[:top]) for token in tokens))
