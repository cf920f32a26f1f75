"""What an audit may cost, and what it has cost: tokens, and US dollars where prices are known.

A request is asked only where the most that it should cost is left. That is known of answers, by their limit, unless an
endpoint ignores it; of prompts it is a bound: a token holds at least a byte, and a template adds some. What the
endpoint then counts takes its place.
"""

from __future__ import annotations

from typing import NamedTuple

from bitproof.audit.preflight import FREE, charged
from bitproof.engines.generation import Completion, Request

__all__ = ["Bill", "Price", "Purse", "prompt_bound"]

Price = tuple[float, float]  # US dollars for a million prompt tokens, and for a million answer tokens
TEMPLATE = 32  # tokens that a chat template adds to a question, at most


class Bill(NamedTuple):
    """What is asked, or will be at most."""

    n_requests: int
    prompt_tokens: int
    answer_tokens: int

    def usd(self, price: Price) -> float:
        """What it costs, in US dollars."""
        return (self.prompt_tokens * price[0] + self.answer_tokens * price[1]) / 1e6


def prompt_bound(text: str) -> int:
    """The most tokens of a prompt of one message, unless something is hidden in it."""
    return len(text.encode()) + TEMPLATE


def _bound(request: Request) -> int:
    said = sum(prompt_bound(message.content) for message in request.messages or ())
    return max(said, len(request.prompt_ids or ()))


class Purse:
    """Counts what one audit costs, over all of its endpoints; `spent` says which budget is, empty while none is.

    An attempt whose answer was lost on its way may have been paid for, and counts. Raises ValueError for a limit in
    dollars without a price.
    """

    def __init__(
        self, *, max_tokens: int | None = None, max_cost_usd: float | None = None, price: Price | None = None
    ) -> None:
        if max_cost_usd is not None and price is None:
            raise ValueError("a budget in dollars needs the prices of tokens")
        self._max_tokens, self._max_cost_usd, self._price = max_tokens, max_cost_usd, price
        self._held: dict[str, tuple[int, int]] = {}  # prompt and answer tokens of what is under way, by its key
        self._longest = 0  # answer that was longer than asked for
        self._hidden = 0  # tokens of a prompt beyond its bound
        self.n_requests = self.prompt_tokens = self.answer_tokens = 0
        self.spent = ""

    @property
    def cost_usd(self) -> float | None:
        """What it has cost; None where no price is known."""
        return self._usd(self.prompt_tokens, self.answer_tokens) if self._price else None

    def holds(self, request: Request) -> bool:
        """Whether there is enough left for a request, beside all that is under way."""
        needs = [*self._held.values(), self._needs(request)]
        prompt = self.prompt_tokens + sum(each for each, _ in needs)
        answer = self.answer_tokens + sum(each for _, each in needs)
        if self._max_tokens is not None and answer > self._max_tokens:
            self.spent = f"the budget of {self._max_tokens:,} answer tokens"
        elif self._max_cost_usd is not None and self._usd(prompt, answer) > self._max_cost_usd:
            self.spent = f"the budget of {self._max_cost_usd:g} USD"
        return not self.spent

    def hold(self, request: Request) -> None:
        """Keep what a request needs until it is settled."""
        self._held[request.key] = self._needs(request)

    def settle(self, completion: Completion, request: Request) -> None:
        """Count what a request has cost."""
        self._held.pop(request.key, None)
        self.n_requests += 1
        answer, paid = charged(completion, request), completion.finish != "error" or completion.answer_tokens > 0
        lost = [retry.why for retry in completion.retries]
        lost += [completion.error] * (not paid)
        attempts = paid + sum(not FREE.match(why) for why in lost)
        bound = _bound(request)
        self.prompt_tokens += attempts * (completion.prompt_tokens or bound + self._hidden)
        self.answer_tokens += answer
        self._hidden = max(self._hidden, completion.prompt_tokens - bound)
        if answer > request.max_tokens:
            self._longest = max(self._longest, answer)

    def _needs(self, request: Request) -> tuple[int, int]:
        return _bound(request) + self._hidden, max(request.max_tokens, self._longest)

    def _usd(self, prompt: int, answer: int) -> float:
        return Bill(0, prompt, answer).usd(self._price) if self._price else 0.0
