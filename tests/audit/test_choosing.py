"""Choosing: which questions are asked, and in which order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np

from bitproof.audit.choosing import OFTEN, first_tokens, sampling_order


def test_first_tokens_are_asked_of_the_best_probes_first(profile):
    """Places where nothing but noise tells models apart come last; every chosen probe comes in the end."""
    flat = profile.number_of_place == 0
    flat[profile.probe_of_place < 10] = False  # of probes 10 and up all models say the same first token
    logprobs = np.where(flat[None, :, None], profile.logprobs[:1], profile.logprobs)
    odd = replace(profile, logprobs=logprobs)
    chosen = first_tokens(odd)
    assert set(chosen[:10]) == set(range(10))
    assert len(chosen) == len(odd.probes) // 3
    order = list(range(len(odd.probes)))[::-1]
    asked = list(islice(sampling_order(odd, order), 5000))
    assert asked[:5] == sorted(chosen[:5], reverse=True)
    assert Counter(asked[: 5 * OFTEN]) == Counter(dict.fromkeys(chosen[:5], OFTEN))
    assert set(asked) == set(chosen)
    counts = Counter(asked)
    assert max(counts.values()) - min(counts.values()) <= OFTEN
