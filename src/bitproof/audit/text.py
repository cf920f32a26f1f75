"""Audits by text alone: how likely the served tokens are under every model of a profile, as an e-process.

At temperature 0 a hypothesis is a model and the noise of the engine that serves it; at temperature 1 a model and the
sampler. The reference and its equals are the null hypothesis, with whichever of their settings explains the tokens
best, the alternatives are mixtures:

    E = sum over alternatives of weight * likelihood / largest likelihood of the reference.

Whatever the setting is, E exceeds 1 / alpha at any time in at most alpha of audits (Ville's inequality; universal
inference: Wasserman, Ramdas and Balakrishnan, arXiv 1912.11436), as far as one of the settings describes the engine.
A variant is ruled out in the same way, with the roles exchanged. Alternatives that are no variant: noise on the
reference's logits, which is what an unknown variant or another model looks like, and requests of which a part is
answered by a variant. A verdict of consistent rules out that a variant answers every other request, and says which may
answer a quarter of them: those that are hardly told from the reference at all. Where the reference is ruled out, a
variant is a name only if it is far likelier than noise, and than an error of any variant's size in no direction.

Tokens of one answer are read as independent given the tokens before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import log
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.likelihood import USUAL_NOISE_NATS, Sampler, greedy, mean_likelihood, sampled
from bitproof.audit.observe import Reading
from bitproof.audit.profile import REFERENCE, Profile
from bitproof.audit.standing import (
    EVEN_SHARE,
    MIXED,
    MIXED_PRIOR,
    MIXED_SHARE,
    MIXED_SHARES,
    NOISE,
    Outcome,
    Standing,
    fitting,
    settled,
)

__all__ = ["AS_ASKED", "SAMPLERS", "Likelihoods", "TextTables", "TextTest", "tables_of"]

Floats = NDArray[np.float64]
NOISE_FACTORS = (0.25, 0.5, 1.0, 1.5)  # of a model's own noise: engines between float32 and half again its arithmetics
OTHER_NOISES = (4.0, 8.0, 16.0, 32.0)  # of the reference's own noise: no benign engine
NAMELESS = 1e-4  # of the posterior on `NOISE`, from which on an endpoint that is inconsistent is given no name
AS_ASKED = Sampler()
SAMPLERS = (
    AS_ASKED,
    Sampler(temperature=0.05),
    *(Sampler(temperature=t) for t in (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2)),
    *(Sampler(top_p=p) for p in (0.8, 0.9, 0.95)),
    Sampler(min_p=0.05),
    Sampler(temperature=0.7, top_p=0.9),
)


class Likelihoods(NamedTuple):
    """Log likelihoods of some tokens together, under every hypothesis."""

    models: Floats  # [names, settings]
    noise: Floats  # [noises] on the reference's logits that no benign engine makes
    unrelated: Floats  # [variants, settings]: errors as large as a variant's, in no direction


class Tables(Protocol):
    """What a test reads: settings are noises of an engine or samplers, `usual` [settings] are those asked for.

    `samplers` says how tokens are drawn in each setting; None at temperature 0. `tells_names` is False where what is
    known of variants is enough to rule models out, and not to name one.
    """

    names: tuple[str, ...]
    tells_names: bool
    samplers: Sequence[object] | None
    usual: NDArray[np.bool_]
    n_noises: int
    n_variants: int

    def likelihoods(self, readings: list[Reading]) -> Likelihoods:
        """Of the tokens of one request together."""


class TextTables:
    """Log likelihoods of every token under every hypothesis; made once for a profile, for any number of audits.

    `samplers` None means temperature 0: then a setting is the noise of an engine.
    """

    def __init__(self, profile: Profile, samplers: Sequence[Sampler] | None = None) -> None:
        self.names, self.tells_names = profile.names, True
        self.samplers: Sequence[object] | None = samplers
        self.of_noise = np.zeros((0, len(profile.places), profile.candidates.shape[1] + 1))
        self.of_unrelated = self.of_noise[None]  # [variants, settings, places, width + 1]
        if samplers is None:
            noise = {name: profile.calibration.noise_nats.get(name, USUAL_NOISE_NATS) for name in self.names}
            found = [
                [greedy(profile, profile.of(name), noise[name] * factor) for factor in NOISE_FACTORS]
                for name in self.names
            ]
            self.usual = np.ones(len(NOISE_FACTORS), dtype=bool)
            self.of_noise = np.stack([greedy(profile, [0], noise[REFERENCE] * factor) for factor in OTHER_NOISES])
            if len(self.names) > 1:
                self.of_unrelated = _in_no_direction(profile, np.array(found), noise)
        else:
            found = [[sampled(profile, profile.of(name), one) for one in samplers] for name in self.names]
            self.usual = np.array([one == AS_ASKED for one in samplers])
        self.of_models = np.array(found)  # [names, settings, places, width + 1]
        self.n_noises, self.n_variants = len(self.of_noise), len(self.of_unrelated)

    def likelihoods(self, readings: list[Reading]) -> Likelihoods:
        """Of the tokens of one request together."""
        rows = np.array([reading.row for reading in readings])
        columns = np.array([reading.column for reading in readings])
        return Likelihoods(
            *(table[..., rows, columns].sum(-1) for table in (self.of_models, self.of_noise, self.of_unrelated))
        )


@lru_cache(maxsize=4)
def tables_of(profile: Profile, samplers: tuple[Sampler, ...] | None = None) -> TextTables:
    """The tables of a profile: one for all audits of a kind."""
    return TextTables(profile, samplers)


class TextTest:
    """Reads tokens one request after another; `ignored` names need not be ruled out: the reference's equals."""

    def __init__(self, tables: Tables, *, alpha: float, ignored: Sequence[str] = ()) -> None:
        self._limit = log(1 / alpha)
        self._tables, self._ignored = tables, set(ignored)
        self._names, self._samplers, self._usual = tables.names, tables.samplers, tables.usual
        self._total = np.zeros((len(tables.names), len(tables.usual)))
        self._noise_total = np.zeros(tables.n_noises)
        self._unrelated = np.zeros((tables.n_variants, 1))
        self._mixed_total = np.zeros((len(self._names), len(MIXED_SHARES)))
        self._read = 0

    def add(self, readings: list[Reading]) -> None:
        """Take in the tokens of one request."""
        if not readings:
            return
        request = self._tables.likelihoods(readings)
        self._total += request.models
        self._noise_total += request.noise
        self._unrelated = self._unrelated + request.unrelated
        usual = mean_likelihood(request.models[:, self._usual])
        for number, share in enumerate(MIXED_SHARES):
            self._mixed_total[:, number] += np.logaddexp(log(1 - share) + usual[0], log(share) + usual)
        self._read += len(readings)

    def standing(self) -> Standing | None:
        """How things stand, after any number of tokens; None before the first."""
        return self.now()

    def now(self) -> Standing | None:
        """How things stand; None before the first token."""
        if not self._read:
            return None
        usual = mean_likelihood(self._total[:, self._usual])
        likelihood, mixed = self._likelihood(usual), self._mixed_left(usual)
        excluded = self._excluded(likelihood, usual, mixed)
        outcome = self._outcome(excluded)
        probability = settled(self._posterior(likelihood), outcome)
        if outcome == "inconsistent" and not self._tables.tells_names:
            probability = {REFERENCE: probability[REFERENCE], NOISE: 1 - probability[REFERENCE]}
        return Standing(
            outcome=outcome,
            probability=probability,
            closest=fitting(probability, nameless=NAMELESS if outcome == "inconsistent" else 0.5),
            clear=not NAMELESS < probability.get(NOISE, 0.0) < 1 - NAMELESS,
            excluded=tuple(excluded),
            unseen=tuple(name for name, shares in mixed.items() if MIXED_SHARE in shares),
            sampler=self._sampler(),
        )

    def _likelihood(self, usual: Floats) -> dict[str, float]:
        """Log likelihoods of the names, of noise and of a mixture; `usual` [names] are those as asked for."""
        likelihood = dict(zip(self._names, usual.tolist(), strict=True))
        if self._samplers is not None:  # a model with other sampling is as much that model
            likelihood = dict(
                zip(self._names, np.logaddexp(usual, mean_likelihood(self._total) - 3).tolist(), strict=True)
            )
        if len(self._noise_total):
            likelihood[NOISE] = float(mean_likelihood(self._noise_total))
        if len(self._names) > 1:
            likelihood[MIXED] = float(mean_likelihood(self._mixed_total[1:].ravel()))
        return likelihood

    def _mixed_left(self, usual: Floats) -> dict[str, list[float]]:
        """The shares of requests that each variant may answer, of those that it is not ruled out of."""
        return {
            name: [share for share, total in zip(MIXED_SHARES, shares, strict=True) if usual[0] - total < self._limit]
            for name, shares in zip(self._names[1:], self._mixed_total[1:].tolist(), strict=True)
            if name not in self._ignored
        }

    def _excluded(self, likelihood: dict[str, float], usual: Floats, mixed: dict[str, list[float]]) -> list[str]:
        """What is ruled out: the reference by all alternatives together, each of them by the reference."""
        best = self._total.max(1)
        alike = [number for number, name in enumerate(self._names) if name == REFERENCE or name in self._ignored]
        others = [value for name, value in likelihood.items() if name not in {REFERENCE, *self._ignored}]
        excluded = []
        if others and mean_likelihood(np.array(others)) - best[alike].max() >= self._limit:
            excluded.append(REFERENCE)
        excluded += [
            name for name, most in zip(self._names[1:], best[1:], strict=True) if usual[0] - most >= self._limit
        ]
        if mixed and not any(share >= EVEN_SHARE for shares in mixed.values() for share in shares):
            excluded.append(MIXED)
        if len(self._noise_total) and usual[0] - self._noise_total.max() >= self._limit:
            excluded.append(NOISE)
        return excluded

    def _posterior(self, likelihood: dict[str, float]) -> dict[str, float]:
        """All names as likely before; noise, and errors in no direction, as likely as all of them together."""
        weighed = dict(likelihood)
        if MIXED in weighed:
            weighed[MIXED] += log(MIXED_PRIOR * (len(self._names) - 1))
        if self._unrelated.size:
            weighed[NOISE] = float(
                mean_likelihood(np.append(self._noise_total, mean_likelihood(self._unrelated)))
            ) + log(len(self._names))
        total = np.logaddexp.reduce([*weighed.values()])
        return {name: float(np.exp(value - total)) for name, value in weighed.items()}

    def _outcome(self, excluded: list[str]) -> Outcome:
        if REFERENCE in excluded:
            return "inconsistent"
        wanted = set(self._names) - {REFERENCE} - self._ignored
        wanted |= {MIXED} if wanted else set()
        wanted |= {NOISE} if len(self._noise_total) else set()
        return "inconclusive" if wanted - set(excluded) else "consistent"

    def _sampler(self) -> str:
        """The sampler that explains the tokens, where that is not the one asked for."""
        if self._samplers is None:
            return ""
        asked = float(self._total[:, self._usual].max())
        best = int(np.argmax(self._total.max(0)))
        found = self._samplers[best]
        return str(found) if float(self._total.max()) - asked >= log(len(self._samplers)) + self._limit else ""


def _in_no_direction(profile: Profile, of_models: Floats, noise_nats: dict[str, float]) -> Floats:
    """Log likelihoods [variants, settings, places, width + 1] under a model that errs as much as each variant, anyhow.

    At every token the variant's error has its own sign or the other one: what an unrelated model says is as likely
    under both, what the variant says is not.
    """
    mirrored = replace(profile, logprobs=2 * profile.logprobs[:1] - profile.logprobs)
    mirror = [
        [greedy(mirrored, mirrored.of(name), noise_nats[name] * factor) for factor in NOISE_FACTORS]
        for name in profile.names[1:]
    ]
    found: Floats = np.logaddexp(of_models[1:], np.array(mirror)) - log(2)
    return found
