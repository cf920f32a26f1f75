"""What every test shares."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from bitproof.types import Estimate, Measurement, NotMeasured

MakeMeasurement = Callable[..., Measurement]

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches a model hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def make_measurement() -> MakeMeasurement:
    """A measurement of a given variant, size and KL interval."""

    def estimate(value: float, low: float, high: float) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=1000, n_clusters=16)

    def make(
        variant: str,
        size_bytes: int | NotMeasured = 100_000_000,
        low: float = 0.1,
        high: float = 0.2,
        **changes: object,
    ) -> Measurement:
        fields: dict[str, object] = {
            "variant": variant,
            "engine": "emulation",
            "n_tokens": 1000,
            "n_clusters": 16,
            "kl_nats": estimate((low + high) / 2, low, high),
            "kl_median_nats": low,
            "kl_p99_nats": high,
            "top1_agreement": estimate(0.9, 0.88, 0.92),
            "perplexity_ratio": estimate(1.1, 1.05, 1.15),
            "size_bytes": size_bytes,
            "bits_per_quantized_weight": 4.25,
            "bits_per_parameter": 6.0,
        }
        return Measurement(**{**fields, **changes})  # type: ignore[arg-type]

    return make
