"""A made-up profile: three rungs at known distances from the reference, one of them chaotic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitproof.audit.profile import Model, Place, Profile

NUMERICS = ("float32", "bfloat16")
SIZES = {"w8": 0.1, "w4": 0.8}  # rms of their errors, in nats
NOISE, CHAOS = 0.03, 0.3
PROBES, DEPTH, WIDTH = 60, 4, 24


def made_profile(seed: int = 0, sizes: dict[str, float] = SIZES) -> Profile:
    """Errors of `w8` and `w4` are the same in every arithmetic, up to NOISE; those of `w8a8` are drawn anew."""
    random = np.random.default_rng(seed)
    n = PROBES * DEPTH
    candidates = np.array([random.permutation(500)[:WIDTH] for _ in range(n)], dtype=np.int32)
    reference = -4 - np.sort(random.exponential(2.0, (n, WIDTH)), axis=1)
    rows, models = [], []
    for name in ("reference", *sizes, "w8a8"):
        error = random.normal(0, sizes.get(name, 0.0), reference.shape)
        for numerics in NUMERICS:
            chaos = random.normal(0, CHAOS, reference.shape) if name == "w8a8" else 0.0
            noise = random.normal(0, NOISE, reference.shape) if numerics != "float32" else 0.0
            rows.append(reference + error + chaos + noise)
            models.append(Model(name=name, numerics=numerics))
    return Profile(
        reference="made",
        reference_digest="0" * 64,
        seed=seed,
        probes=tuple(f"question {i}" for i in range(PROBES)),
        prompt_tokens=(10,) * PROBES,
        texts={token: f" t{token}" for token in range(500)},
        models=tuple(models),
        path=candidates[:, 0].reshape(PROBES, DEPTH),
        places=tuple(Place(probe, number) for probe in range(PROBES) for number in range(DEPTH)),
        candidates=candidates,
        logprobs=np.array(rows, dtype=np.float32),
    )


@pytest.fixture
def make() -> Callable[..., Profile]:
    """`made_profile`, for tests."""
    return made_profile


@pytest.fixture(scope="session")
def profile() -> Profile:
    """The first of them."""
    return made_profile()
