"""Given tokens under llama.cpp: the requests that score them, and what is read from the answers.

llama.cpp's server gives no logprobs of a prompt (`echo` and `prompt_logprobs` are silently ignored), but it reports the
probability of each token that it takes from the raw logits, before any bias or grammar. So given tokens are forced:

- A whole answer in one request, by a grammar of token ids, `root ::= <[57]> <[253]>` (llama.cpp since December 2025).
- One token in one request, by a logit bias: where a server's grammars know no token ids, and for what no grammar can
  force or the server does not report. That is a token whose bytes end inside a character; another one is forced at its
  place, and the given one is looked up among the likeliest, at last among all.

Each token costs one decoding step, as it would in serving, and logprobs are the same bits either way.

Two engines read grammars. llguidance forces any token at next to no cost, but a server that was built without it ends
itself when asked for it: it is asked for only where it is known to be there. llama.cpp's own looks through the whole
vocabulary wherever the given token is not the likeliest. There a grammar in which no token can follow is an error, and
a token that ends the text can follow only where the grammar may end. Therefore it may end before every token that has
not been forced before: the server then stops, and a request with a bias takes that token instead.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from bitproof.engines.generation import Forced, TokenLogprob
from bitproof.engines.http_failures import Failure

__all__ = ["Exchange", "Forcing"]

Body = dict[str, Any]
Exchange = Generator[Body, dict[str, Any], Forced]
"""Yields the bodies of requests, one after another; is sent each answer, or has its Failure thrown in."""

FORCE = 1e6  # added to the given token's logit, far above any logit
LIKELIEST, ALL = 64, 1 << 20  # alternatives asked for; the second is more than any vocabulary has
LONGEST = 256  # tokens of one grammar: it nests as deep as it holds tokens that were not forced before
# The server turns a float32 probability into a logprob: below the smallest one it can only say "zero".
CENSORED_BELOW_NATS = math.log(2.0**-149)
PLAIN = {"n_probs": 1, "temperature": 0, "cache_prompt": True, "post_sampling_probs": False}
FIELDS = {"response_fields": ["completion_probabilities", "stop_type"]}


class Forcing:
    """What was learnt of one server and its model. `finding` is why it scores a token a request, where it does.

    `guidance` says that the server has llguidance.
    """

    def __init__(self, finding: str = "", *, guidance: bool = False) -> None:
        self.finding, self._guidance = finding, guidance
        self._plain: set[int] = set()  # tokens that a grammar has forced
        self._pieces: set[int] = set()  # tokens that end inside a character
        self._whole = 0  # a token whose text is whole characters

    def score(self, ids: Sequence[int], first: int, known: Sequence[TokenLogprob] = ()) -> Exchange:
        """Logprobs of the tokens at positions first..n-1; `known` is what the server decoded there itself, if it did.

        What it decoded counts as far as it is the same. A logprob below what float32 can hold is
        `CENSORED_BELOW_NATS`. Raises Failure for tokens that are not the model's.
        """
        same = takewhile(lambda pair: pair[0].id == pair[1], zip(known, ids[first:], strict=False))
        found = [(token.logprob, bool(token.top) and token.top[0].id == given) for token, given in same]
        refused: Failure | None = None
        while (place := first + len(found)) < len(ids):
            if not self.finding and not refused and ids[place] not in self._pieces:
                try:
                    forced = yield from self._run(ids, place)
                except Failure as failure:
                    if failure.again:
                        raise
                    forced, refused = [], failure  # the request, or the grammar: a request without one will tell
                found += forced
                if forced:
                    continue
            found.append((yield from self._step(list(ids[:place]), ids[place])))
            if refused:
                self.finding, refused = f"its grammars know no token ids ({refused.why})", None
        return Forced(
            logprobs_nats=np.array([max(logprob, CENSORED_BELOW_NATS) for logprob, _ in found], dtype=np.float64),
            same_top=np.array([top for _, top in found], dtype=np.bool_),
        )

    def _run(self, ids: Sequence[int], place: int) -> Generator[Body, dict[str, Any], list[tuple[float, bool]]]:
        """As many tokens from `place` on as the server takes in one request."""
        run = list(takewhile(lambda token: token not in self._pieces, ids[place : place + LONGEST]))
        body = {"prompt": list(ids[:place]), "n_predict": len(run), "grammar": self._grammar(run)}
        answer = yield {**PLAIN, **FIELDS, **body}
        entries = answer.get("completion_probabilities") or []
        same = takewhile(lambda pair: pair[0]["id"] == pair[1], zip(entries, run, strict=False))
        forced = [entry for entry, _ in same]
        before_end = len(entries) - (answer["stop_type"] == "eos")
        unread = iter(run[len(forced) :])
        if not all(entry["id"] in unread for entry in entries[len(forced) : before_end]):
            self.finding = "it takes grammars of token ids and does not hold to them"
        self._plain.update(run[: min(len(forced), before_end)])
        return [(entry["logprob"], entry["top_logprobs"][0]["id"] == entry["id"]) for entry in forced]

    def _grammar(self, run: Sequence[int]) -> str:
        """A grammar of these tokens in their order."""
        if self._guidance:
            return "%llguidance {}\nstart: " + " ".join(f"<[{token}]>" for token in run)
        unknown = sum(token not in self._plain for token in run)
        parts = [f"<[{token}]>" if token in self._plain else f"( <[{token}]>" for token in run]
        return f"root ::= {' '.join(parts)}{' )?' * unknown}"

    def _step(self, prompt: list[int], given: int) -> Generator[Body, dict[str, Any], tuple[float, bool]]:
        """Logprob of one token, and whether it is the likeliest."""
        if given not in self._pieces:
            taken = yield from self._take(prompt, given, 1)
            if taken is not None:
                self._whole = given
                return taken["logprob"], taken["top_logprobs"][0]["id"] == given
            self._pieces.add(given)
        for n_probs in (LIKELIEST, ALL):
            taken = yield from self._take_any((self._whole, *range(256)), prompt, n_probs)
            listed = [] if taken is None else taken["top_logprobs"]
            logprob = next((entry["logprob"] for entry in listed if entry["id"] == given), None)
            if logprob is not None:
                return logprob, listed[0]["id"] == given
        raise Failure(f"llama.cpp gives no probability of token {given} after {len(prompt)} tokens", again=False)

    def _take_any(
        self, tokens: Iterable[int], prompt: list[int], n_probs: int
    ) -> Generator[Body, dict[str, Any], dict[str, Any] | None]:
        """The entry of the first of `tokens` that the server reports."""
        for token in tokens:
            taken = yield from self._take(prompt, token, n_probs)
            if taken is not None:
                self._whole = token
                return taken
        return None

    def _take(
        self, prompt: list[int], forced: int, n_probs: int
    ) -> Generator[Body, dict[str, Any], dict[str, Any] | None]:
        """The server's entry of a forced token; None if its text ends inside a character."""
        body = {"prompt": prompt, "n_predict": 1, "n_probs": n_probs, "logit_bias": [[forced, FORCE]]}
        answer = yield {**PLAIN, **FIELDS, **body}
        entries: list[dict[str, Any]] = answer.get("completion_probabilities") or []
        if not entries:
            return None
        if entries[0]["id"] != forced:
            raise Failure(f"llama.cpp took token {entries[0]['id']} although {forced} was forced", again=False)
        if answer["stop_type"] != "eos" and entries[0]["bytes"][:1] not in ([], [0]):
            self._plain.add(forced)  # text, which grammars force: they know no token that begins with a zero
        return entries[0]
