"""Making a profile: what it holds, from a tiny model in every arithmetic, and what a killed build keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitproof.audit import build
from bitproof.audit.build import NUMERICS, KeyValueOverlay, ProfilePlan, build_profile
from bitproof.audit.equals import equals
from bitproof.audit.meter import MOST_BITS, Meter
from bitproof.audit.observe import Reading
from bitproof.audit.profile import REFERENCE, Profile, read_profile, write_profile
from bitproof.audit.separation import separations, text_tokens
from bitproof.models import load
from bitproof.models.fakes import tiny_model
from bitproof.models.reference import Reference
from bitproof.quantize.schemes import KV_FORMATS

PLAN = ProfilePlan(probes=8, pool=1.5, depth=4, width=12)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return load(str(tiny_model("llama", tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="module")
def made(tiny: Reference) -> Profile:
    return build_profile(tiny, {"bf16+kvint4": KeyValueOverlay(KV_FORMATS["int4"])}, PLAN)


def test_every_model_is_there_in_every_arithmetic(made, tmp_path):
    assert made.names == (REFERENCE, "bf16+kvint4")
    assert [made.models[row].numerics for row in made.of(REFERENCE)] == list(NUMERICS)
    assert made.logprobs.shape == (8, len(made.places), 12)
    assert len(made.probes) == 8
    write_profile(made, tmp_path / "p")
    assert read_profile(tmp_path / "p").digest == made.digest


def test_the_path_is_what_the_reference_says(made):
    assert (made.logprobs[0].argmax(1) == made.path_columns).all()
    assert ((made.path >= 0).sum(1) == np.bincount(made.probe_of_place)).all()


def test_arithmetics_lie_nearer_than_another_cache(made):
    first, *others = made.of(REFERENCE)
    away = [np.abs(made.logprobs[row] - made.logprobs[first]).mean() for row in (*others, made.of("bf16+kvint4")[0])]
    assert min(away[:-1]) > 0
    assert max(away[:-1]) < away[-1]
    assert equals(made)[REFERENCE] == ()


def test_a_build_goes_on_where_it_was_killed(tiny, made, tmp_path, monkeypatch):
    ladder = {"bf16+kvint4": KeyValueOverlay(KV_FORMATS["int4"])}
    passes, engine = [], build.EmulatedGenerator

    def counted(*args: object, **settings: object) -> object:
        passes.append(settings)
        if len(passes) == 5:
            raise KeyboardInterrupt
        return engine(*args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "EmulatedGenerator", counted)
    with pytest.raises(KeyboardInterrupt):
        build_profile(tiny, ladder, PLAN, steps=tmp_path)
    assert len(list(Path(tmp_path).glob("*.npz"))) == 4
    found = build_profile(tiny, ladder, PLAN, steps=tmp_path)
    assert len(passes) == 5 + 4
    assert found.digest == made.digest


def test_calibration_is_found_from_the_arithmetics(made):
    assert set(made.calibration.noise_nats) == set(made.names)
    assert set(made.calibration.slack) == {1, 5, 20}
    assert made.calibration.slack_of(7) == made.calibration.slack[5]


def test_a_model_is_told_from_itself_by_nothing(profile):
    tokens = text_tokens(profile)
    assert np.isinf(np.diag(tokens)).all()
    assert tokens[0, profile.names.index("w4")] < tokens[0, profile.names.index("w8")]
    nearest = {one.name: one for one in separations(profile)}
    assert nearest["w4"].distance_nats == pytest.approx(0.8, rel=0.1)
    assert nearest["w8"].tokens_to_find == pytest.approx(tokens[profile.names.index("w8"), 0])


def readings(profile: Profile, row: int, n: int) -> list[Reading]:
    """The greedy choices of a row at places drawn from all."""
    rows = np.random.default_rng(row).integers(len(profile.places), size=n)
    return [Reading(int(place), int(profile.logprobs[row, place].argmax())) for place in rows]


def test_the_meter_reads_bits_on_the_scale_of_the_ladder(make):
    bits = {3: 1.6, 4: 0.8, 5: 0.4, 6: 0.2}
    profile = make(sizes={f"w{b}a16-rtn-g64": size for b, size in bits.items()})
    meter = Meter(profile)
    scale = meter.scale_at([Reading(row, 0) for row in range(len(profile.places))]).noise_nats
    assert list(scale) == sorted(bits)
    assert sorted(scale.values(), reverse=True) == list(scale.values())
    for b in bits:
        found = meter.read(readings(profile, profile.of(f"w{b}a16-rtn-g64")[1], 400))
        assert found is not None
        assert found.bits is not None
        assert abs(found.bits - b) <= 0.5
        assert found.noise_interval[0] <= found.noise_nats <= found.noise_interval[1]
    benign = meter.read(readings(profile, 1, 400))
    assert benign is not None
    assert benign.bits == min(MOST_BITS, max(bits))
    assert meter.read([]) is None
