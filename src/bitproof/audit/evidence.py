"""What the answers of two sides say, kind by kind: logprobs, texts at temperature 0, texts that were sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bitproof.audit.closed_results import Channel, ChannelName
from bitproof.audit.distances import logprob_distances, text_distances
from bitproof.audit.recording import Answer, Asking, Recording
from bitproof.audit.sight import UNITS, smallest_found
from bitproof.stats.cluster import cluster_mean
from bitproof.stats.estimate import Estimate
from bitproof.stats.two_sample import Evidence
from bitproof.types import NotMeasured

__all__ = ["Watch", "channels_of", "sittings_p_values"]


def channels_of(asking: Asking) -> tuple[ChannelName, ...]:
    """The kinds of evidence that an asking brings: alpha is split over them beforehand."""
    return ("logprobs", "greedy", "sampled") if asking.top_logprobs else ("greedy", "sampled")


class Watch:
    """One kind of evidence as it grows, question by question.

    `level` is its share of alpha; differences of logprobs up to `least_nats` are not counted.
    """

    def __init__(self, name: ChannelName, asking: Asking, *, level: float, least_nats: float, seed: int) -> None:
        self.name, self.evidence = name, Evidence(level=level, seed=seed)
        self._pieces = asking.sampled_tokens if name == "sampled" else asking.greedy_tokens
        self._least_nats, self._seed = least_nats, seed
        self._own: list[float] = []
        self._between: list[float] = []
        self._pools: list[list[Answer]] = []
        self._sizes = (2, 1)

    def add(self, sides: Sequence[Sequence[Answer]]) -> None:
        """All answers to one question, side by side; a question that only one side answered says nothing."""
        useful = [[answer for answer in side if self._counts(answer)] for side in sides]
        everyone = [answer for side in useful for answer in side]
        if not all(useful) or len(everyone) < 3:
            return
        groups = [number for number, side in enumerate(useful) for _ in side]
        logprobs = self.name == "logprobs"
        apart = logprob_distances(everyone) if logprobs else text_distances(everyone, pieces=self._pieces)
        self.evidence.add(np.maximum(apart - self._least_nats, 0.0) if logprobs else apart, groups)
        seen = apart if logprobs else (apart > 0).astype(np.float64)
        same = np.equal.outer(groups, groups)
        pairs = same & ~np.eye(len(groups), dtype=np.bool_)
        self._own.append(float(seen[pairs].mean()) if pairs.any() else np.nan)
        self._between.append(float(seen[~same].mean()))
        self._pools.append(useful[0])
        self._sizes = (len(useful[0]), len(useful[1]))

    def channel(self, *, spoiled: str, sittings_p_value: float | NotMeasured, look: bool) -> Channel:
        """What it came to; `look` has the smallest difference simulated that would have been found."""
        smallest: float | NotMeasured = NotMeasured(spoiled or "simulated only where nothing was found")
        if look and not spoiled:
            smallest = smallest_found(
                self.name,
                self._pools,
                self._sizes,
                pieces=self._pieces,
                level=self.evidence.level,
                least_nats=self._least_nats,
                seed=self._seed,
            )
        most = math.inf if self.name == "logprobs" else 1.0
        return Channel(
            name=self.name,
            n_probes=self.evidence.n,
            own=_mean(self._own, most),
            between=_mean(self._between, most),
            p_value=self.evidence.p_value,
            found=self.evidence.found and not spoiled,
            smallest=smallest,
            unit=UNITS[self.name],
            sittings_p_value=sittings_p_value,
            spoiled=spoiled,
        )

    def _counts(self, answer: Answer) -> bool:
        if self.name == "logprobs":
            return any(place.top for place in answer.places)
        return answer.sampled == (self.name == "sampled")


def sittings_p_values(recording: Recording, *, alpha: float, least_nats: float, seed: int) -> dict[ChannelName, float]:
    """For each kind of evidence, how likely the recording's sittings would be as far apart as they are by chance."""
    names = channels_of(recording.asking)
    found: dict[ChannelName, float] = {}
    for name in names:
        watch = Watch(name, recording.asking, level=alpha / len(names), least_nats=least_nats, seed=seed)
        for probe in range(len(recording.asking.probes)):
            watch.add(recording.groups(probe, sampled=name == "sampled"))
        watch.evidence.end()
        found[name] = watch.evidence.p_value
    return found


def _mean(values: Sequence[float], most: float) -> Estimate | NotMeasured:
    """The mean over questions, its interval within [0, most]."""
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return NotMeasured("no question could be compared")
    found = cluster_mean(known, range(len(known)))
    return replace(found, low=float(np.clip(found.low, 0.0, most)), high=float(np.clip(found.high, 0.0, most)))
