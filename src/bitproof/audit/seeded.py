"""First tokens at temperature 1 from a server whose random numbers are known: llama.cpp's.

It seeds a Mersenne Twister with the request's seed, draws one number u of [0, 1), and takes the token at which the
cumulative probability of the `TOP_K` likeliest tokens, in that order, passes u. So a token says whether a boundary
between two tokens has moved across u, as a greedy token says whether another logit has become the largest: far more
than a token drawn with unknown numbers, and another seed asks the same place anew.

A hypothesis is, as at temperature 0, a model and the noise of its engine. The probability of a token is the share of
`DRAWS` draws of Gumbel noise on the logits under which u picks it. That the server draws so is not believed: with
another sampler, or with random numbers of its own, the reference is the reference as well.

It gives no names: what noise a variant makes that rounds activations is known of its likeliest tokens, and all twenty
count here.

That a known seed makes sampled tokens comparable is the idea of Token-DiFR (arXiv 2511.20621), whose score is a margin
in Gumbel noise; here it is a likelihood, for a sampler that inverts the cumulative distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.likelihood import USUAL_NOISE_NATS, Sampler, diluted, mean_likelihood
from bitproof.audit.observe import Reading
from bitproof.audit.profile import Profile
from bitproof.audit.text import AS_ASKED, NOISE_FACTORS, OTHER_NOISES, SAMPLERS, Likelihoods, tables_of

__all__ = ["OWN_NUMBERS", "TOP_K", "SeededTables", "foretold", "seeded_tables_of", "uniform_of"]

Floats = NDArray[np.float64]
TOP_K = 20
DRAWS = 64
DOUBT = 0.02  # of tokens that are drawn with another number, even where the sampler is known
KEPT = 2048  # tables of one token: many audits of the same answers need them again
OWN_NUMBERS = "random numbers of its own"
OTHERS = tuple(one for one in SAMPLERS if one != AS_ASKED)


def uniform_of(seed: int) -> float:
    """The number of [0, 1) that llama.cpp draws for the first token of a request: `std::mt19937`, two words of it."""
    low, high = np.random.RandomState(seed).randint(0, 1 << 32, size=2, dtype=np.uint64)
    return (int(low) + int(high) * 2.0**32) / 2.0**64


def foretold(logprobs: Floats, noise_nats: Floats, drawn: float, gumbel: Floats, sampler: Sampler = AS_ASKED) -> Floats:
    """Probabilities [n, width] of each candidate, where u is `drawn`, under draws of noise `gumbel` [draws, width].

    `logprobs` [n, width] are -inf where there is no candidate; `noise_nats` is [n]. What top_p and min_p leave out is
    left out before the temperature, as in llama.cpp.
    """
    noisy = logprobs[:, None] + noise_nats[:, None, None] * gumbel  # [n, draws, width]
    order = np.argsort(-noisy, axis=-1)[..., :TOP_K]
    kept = np.take_along_axis(noisy, order, axis=-1)
    p = np.exp(kept - kept[..., :1])
    before = np.cumsum(p, axis=-1) - p
    left = (before < sampler.top_p * p.sum(-1, keepdims=True)) & (p >= sampler.min_p)
    p = np.where(left, p, 0.0) ** (1 / sampler.temperature)
    cumulative = np.cumsum(p, axis=-1)
    rank = np.minimum((cumulative < drawn * cumulative[..., -1:]).sum(-1), kept.shape[-1] - 1)
    picked = np.take_along_axis(order, rank[..., None], axis=-1)  # [n, draws, 1]
    found: Floats = (picked == np.arange(logprobs.shape[1])).mean(1)
    return found


class SeededTables:
    """Log likelihoods of tokens that came with the number that drew them, see `text.TextTables`.

    Settings are the noises of an engine; the reference under other samplers; numbers of the server's own, under all
    samplers, and of the `TOP_K` likeliest.
    """

    def __init__(self, profile: Profile) -> None:
        own = (*(f"{sampler}, {OWN_NUMBERS}" for sampler in SAMPLERS), OWN_NUMBERS)
        self.names, self.tells_names = profile.names, False
        self.samplers: Sequence[object] | None = (*(AS_ASKED,) * len(NOISE_FACTORS), *OTHERS, *own)
        self.usual = np.arange(len(self.samplers)) < len(NOISE_FACTORS)
        self.n_noises, self.n_variants = len(OTHER_NOISES), len(profile.names) - 1
        self._profile, self._rows = profile, [profile.of(name) for name in profile.names]
        self._unforetold = tables_of(profile, SAMPLERS).of_models  # [names, samplers, places, width + 1]
        self._gumbel = np.random.default_rng(profile.seed).gumbel(size=(DRAWS, profile.candidates.shape[1]))
        self._of_place = lru_cache(maxsize=KEPT)(self._likely)

    def likelihoods(self, readings: list[Reading]) -> Likelihoods:
        """Of tokens together, each with the number that drew it."""
        each = [self._of_place(reading.row, reading.drawn) for reading in readings]
        return Likelihoods(
            *(
                sum(table[..., one.column] for table, one in zip(part, readings, strict=True))
                for part in zip(*each, strict=True)
            )
        )

    def _likely(self, place: int, drawn: float) -> tuple[Floats, Floats, Floats]:
        """Log likelihoods of every token at a place, [.., width + 1] each as in `Likelihoods`."""
        profile = self._profile
        known, each = profile.candidates[place] >= 0, profile.logprobs[:, place].astype(np.float64)
        logprobs, mirrored = (np.where(known, one, -np.inf) for one in (each, 2 * each[:1] - each))
        noise = np.array([profile.calibration.noise_nats.get(model.name, USUAL_NOISE_NATS) for model in profile.models])
        usual, other = np.outer(noise, NOISE_FACTORS), noise[:1, None] * np.array(OTHER_NOISES)  # [models, settings]
        gone = logprobs < np.sort(logprobs, axis=1)[:, -min(TOP_K, len(known)), None]
        plain = np.exp(np.where(gone, -np.inf, logprobs))
        plain /= plain.sum(1, keepdims=True)  # [models, width]

        def at(rows: Floats, noise_nats: Floats, sampler: Sampler = AS_ASKED) -> Floats:
            """[rows, settings, width]"""
            repeated = np.repeat(rows, noise_nats.shape[1], axis=0)
            found = foretold(repeated, noise_nats.ravel(), drawn, self._gumbel, sampler).reshape(*noise_nats.shape, -1)
            return _log((1 - DOUBT) * found + DOUBT * plain[: len(rows), None])

        def of_names(rows: Floats) -> Floats:
            """Means over the arithmetics of each name, [names, settings, width + 1]."""
            return np.stack([mean_likelihood(rows[some], axis=0) for some in self._rows])

        foreseen, mirror = of_names(at(logprobs, usual)), of_names(at(mirrored, usual))
        first = self._rows[0]
        others = np.full((len(self.names), len(OTHERS), foreseen.shape[2]), -np.inf)
        others[0] = [mean_likelihood(at(logprobs[first], usual[first, :1], one)[:, 0], axis=0) for one in OTHERS]
        models = [foreseen, others, self._unforetold[:, :, place], of_names(_log(plain[:, None]))]
        return (
            np.concatenate(models, axis=1),
            at(logprobs[:1], other)[0],
            np.logaddexp(foreseen[1:], mirror[1:]) - log(2),
        )


@lru_cache(maxsize=2)
def seeded_tables_of(profile: Profile) -> SeededTables:
    """The tables of a profile: one for all audits."""
    return SeededTables(profile)


def _log(p: Floats) -> Floats:
    """Logarithms of diluted distributions; the last column is any token that is no candidate."""
    return diluted(np.concatenate([p, np.zeros((*p.shape[:-1], 1))], axis=-1))
