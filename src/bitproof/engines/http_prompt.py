"""The logprobs of a prompt's own tokens, in vLLM's form: `prompt_logprobs`, of chat beside the choices, else in one.

At each token an object by token id, `{"ID": {"logprob": -0.1, "rank": 1, "decoded_token": "a"}, ...}`, the prompt's own
token first, then the likeliest ones; null at the first token, which nothing comes before.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

from bitproof.engines.generation import TokenLogprob

__all__ = ["prompt_places"]

MOST_PLACES = 1 << 16  # tokens of a prompt


def prompt_places(
    record: dict[str, Any], choice: dict[str, Any], *, most: int
) -> tuple[TokenLogprob | None, ...] | None:
    """Every token of the prompt with its `most` likeliest alternatives; None where the server gives none.

    The prompt's own tokens are those that the server lists (`prompt_token_ids`), else the first of each place. A place
    whose own token has no logprob is None. Raises TypeError or ValueError for another form.
    """
    places = record.get("prompt_logprobs") or choice.get("prompt_logprobs")
    if not places:
        return None
    if not isinstance(places, list) or len(places) > MOST_PLACES:
        raise ValueError("prompt_logprobs are no list of as many places as a prompt has")
    ids = record.get("prompt_token_ids") or choice.get("prompt_token_ids")
    if ids is None:
        ids = [None] * len(places)
    return tuple(_place(place, id_, most) for place, id_ in zip(places, ids, strict=True))


def _place(place: Any, id_: Any, most: int) -> TokenLogprob | None:
    if place is None:
        return None
    if not isinstance(place, dict) or not place:
        raise TypeError(f"a place of prompt_logprobs is {str(place)[:40]!r}")
    own = next(iter(place)) if id_ is None else str(id_)
    if own not in place:
        return None
    top = heapq.nlargest(most, place.items(), key=lambda pair: _logprob(pair[1]))
    token = _token(own, place[own])
    return TokenLogprob(token.text, token.logprob, token.id, tuple(_token(*pair) for pair in top))


def _token(id_: str, entry: Any) -> TokenLogprob:
    text = entry.get("decoded_token")
    return TokenLogprob(text if isinstance(text, str) else "", _logprob(entry), int(id_))


def _logprob(entry: Any) -> float:
    value = entry["logprob"]
    if value is None:  # JSON has no infinity
        return -math.inf
    if not isinstance(value, int | float):
        raise TypeError(f"a logprob is {str(value)[:40]!r}")
    return float(value)
