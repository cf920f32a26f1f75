"""What an endpoint's answers are fit for, found from the answers themselves: each finding one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import median, multimode

from bitproof.engines.generation import Completion, Request, TokenLogprob

__all__ = [
    "FILTERED",
    "FINEST_FLOOR_NATS",
    "alternatives",
    "charged",
    "degenerate",
    "enough_said",
    "findings",
    "logprob_fault",
    "rounding",
    "rounding_fault",
    "said",
]

IMPOSSIBLE = -99.0  # nats: servers put -100, -999 or -9999 where they have no logprob
STEPS = (1.0, 0.5, 0.25, 0.125, 0.1, 0.0625, 0.05, 0.01, 0.001, 0.0001)  # nats
FEWEST_VALUES = 3  # different ones, before it is told what they are worth
FEWEST_STEPS = 2  # different ones that are multiples of a step, before that is no chance
FINEST_FLOOR_NATS = 0.01  # benign engines differ by more, whatever a profile of one arithmetic says
MOST_PROBABILITY = 1.1  # of all alternatives of a token together: with rounding to 0.1 nats, no more
FILTERED = re.compile(r"content.?filter|content management|moderation|safety|prohibited", re.IGNORECASE)
FREE = re.compile(
    r"HTTP [345]|it (refuses|redirects|answers with a web page)|nothing answers"
)  # failures, not paid for


def degenerate(logprob: float) -> bool:
    """Whether a number is no logprob: not finite, above 0, or a placeholder."""
    return not math.isfinite(logprob) or logprob > 1e-6 or logprob <= IMPOSSIBLE


def alternatives(completions: Sequence[Completion]) -> int:
    """How many alternatives come with most tokens; 1 where a token's own logprob comes alone, 0 where none does."""
    return max(multimode(_counts(completions)), default=0)


def said(completions: Sequence[Completion]) -> list[TokenLogprob]:
    """Every logprob that was given: the alternatives of each token, or its own where it came alone."""
    return [one for answer in completions for token in answer.logprobs or () for one in token.top or (token,)]


def rounding(completions: Sequence[Completion]) -> float | None:
    """The step in nats that all logprobs are multiples of; None where they are not rounded, or too few to tell."""
    values = _values(completions) - {0.0}
    if len(values) < FEWEST_STEPS:
        return None
    return next(
        (step for step in STEPS if all(abs(value / step - round(value / step)) < 1e-6 for value in values)), None
    )


def enough_said(completions: Sequence[Completion]) -> bool:
    """Whether there are enough different logprobs to tell what they are worth."""
    return len(_values(completions) - {0.0}) >= FEWEST_VALUES


def logprob_fault(completions: Sequence[Completion], *, floor_nats: float) -> str:
    """Why no test can rely on the logprobs of these answers; empty where one can.

    `floor_nats` is how far benign engines lie apart: what is rounded more coarsely shows the rounding.
    """
    given = said(completions)
    if not given:
        return "it gives no logprobs"
    values = _values(completions)
    if not values:
        return "none of its logprobs is one: they are not finite, above 0, or placeholders"
    if len(given) >= FEWEST_VALUES and len(values) == 1:
        return f"none of its logprobs is one: all of them are {values.pop():g}"
    sums = [
        sum(math.exp(one.logprob) for one in token.top if not degenerate(one.logprob))
        for answer in completions
        for token in answer.logprobs or ()
    ]
    if median(sums) > MOST_PROBABILITY:
        return f"none of its logprobs is one: those of a token add up to a probability of {median(sums):.2g}"
    return rounding_fault(completions, floor_nats=floor_nats)


def rounding_fault(completions: Sequence[Completion], *, floor_nats: float) -> str:
    """Why logprobs are rounded too coarsely for any test; empty where they are not, or not enough came to tell."""
    step, floor = rounding(completions), max(floor_nats, FINEST_FLOOR_NATS)
    if step is not None and step / 2 > floor:
        return (
            f"its logprobs are rounded to steps of {step:g} nats, and benign engines differ by {floor:.2g}:"
            " they show the rounding"
        )
    return ""


def charged(completion: Completion, request: Request) -> int:
    """The answer tokens that a request has cost: as the endpoint counts them, and never fewer than came.

    Where it does not count, or counts less than it sends, what was asked for. An attempt whose answer was lost on its
    way may have been paid for, and counts as what was asked for.
    """
    lost = [retry.why for retry in completion.retries]
    if completion.finish == "error" and not completion.answer_tokens:
        lost.append(completion.error)
    before = request.max_tokens * sum(not FREE.match(why) for why in lost)
    if completion.finish == "error":
        return before + completion.answer_tokens
    counted = max(completion.answer_tokens, _sent(completion, request))
    if completion.finish == "length" or not completion.answer_tokens:
        counted = max(counted, request.max_tokens)
    return before + counted


def _sent(completion: Completion, request: Request) -> int:
    """Answer tokens that came, at least; logprobs of a prompt are not of the answer."""
    listed = 0 if request.prompt_logprobs else len(completion.logprobs or ())
    return max(listed, len(completion.text.split()))


def findings(completions: Sequence[Completion], requests: Sequence[Request], *, top: int) -> list[str]:
    """What a person should know before relying on these answers; `top` alternatives are read at each token."""
    answered = [one for one in completions if one.finish != "error"]
    asked = max((one.prompt_logprobs or one.top_logprobs for one in requests), default=0)
    return [*_of_logprobs(answered, asked=asked, top=top), *_of_answers(completions, requests)]


def _of_logprobs(answered: Sequence[Completion], *, asked: int, top: int) -> list[str]:
    found = []
    counts = _counts(answered)
    few = sum(count < top for count in counts)
    if counts and max(counts) < asked:
        found.append(f"it gives {max(counts)} logprobs a token where {asked} were asked for")
    if few:
        found.append(f"{few} of {len(counts)} tokens came with fewer logprobs than the others: left out")
    every = said(answered)
    bad = sum(degenerate(one.logprob) for one in every)
    if bad:
        found.append(f"{bad} of {len(every)} logprobs are none (not finite, above 0, or a placeholder): left out")
    step = rounding(answered)
    if step is not None and top:
        found.append(f"its logprobs are rounded to steps of {step:g} nats")
    return found


def _of_answers(completions: Sequence[Completion], requests: Sequence[Request]) -> list[str]:
    found, n = [], len(completions)
    pairs = [(one, request) for one, request in zip(completions, requests, strict=True) if one.finish != "error"]
    filtered = sum(bool(FILTERED.search(one.error)) for one in completions)
    if filtered:
        found.append(f"{filtered} of {n} questions were refused by a filter")
    if failed := n - len(pairs) - filtered:
        found.append(f"{failed} of {n} questions were not answered")
    if empty := sum(not one.text and not one.logprobs for one, _ in pairs):
        found.append(f"{empty} of {n} answers are empty")
    long = [(one.answer_tokens, request.max_tokens) for one, request in pairs if one.answer_tokens > request.max_tokens]
    if long:
        found.append(f"it counts more tokens than it was asked for: {max(long)[0]:,} where {max(long)[1]} were")
    if any(one.text and not one.answer_tokens for one, _ in pairs):
        found.append("it does not count the tokens of its answers: what was asked for is taken as the cost")
    elif any(one.answer_tokens < _sent(one, request) for one, request in pairs):
        found.append("it counts fewer tokens than it sends")
    if bare := sum(bool(request.prompt_logprobs) and not one.logprobs for one, request in pairs):
        found.append(f"{bare} of {n} answers came without logprobs of the prompt, or of other tokens: left out")
    again = sum(len(one.retries) for one in completions)
    if again > n / 4:
        found.append(f"{again} requests had to be made again, the first because {_first_retry(completions)}")
    return found


def _first_retry(completions: Sequence[Completion]) -> str:
    return next(retry.why for one in completions for retry in one.retries)


def _counts(completions: Sequence[Completion]) -> list[int]:
    return [max(1, len(token.top)) for one in completions for token in one.logprobs or ()]


def _values(completions: Sequence[Completion]) -> set[float]:
    return {one.logprob for one in said(completions) if not degenerate(one.logprob)}
