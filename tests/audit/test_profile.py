"""The profile file: what is written is what is read, and what is none is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from bitproof.audit.profile import read_profile, write_profile
from bitproof.errors import UsageError


def test_a_profile_is_what_was_written(profile, tmp_path):
    write_profile(profile, tmp_path / "p.profile")
    again = read_profile(tmp_path / "p.profile")
    assert again.digest == profile.digest
    assert again.models == profile.models
    assert again.places == profile.places
    assert again.texts == profile.texts
    assert np.array_equal(again.logprobs[0], profile.logprobs[0])
    assert np.abs(again.logprobs - profile.logprobs).max() < 1e-3
    assert list(tmp_path.iterdir()) == [tmp_path / "p.profile"]


def test_a_digest_tells_profiles_apart(make):
    assert make(seed=1).digest == make(seed=1).digest
    assert make(seed=1).digest != make(seed=2).digest


def saved(file: Path, /, **arrays: object) -> Path:
    memory = io.BytesIO()
    np.savez(memory, **arrays)  # type: ignore[arg-type]
    file.write_bytes(memory.getvalue())
    return file


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}", b"\x93NUMPY\x01\x00", bytes(1000)])
def test_what_is_no_profile_is_refused(tmp_path, content):
    file = tmp_path / "p.profile"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"p\.profile: .*bitproof profile"):
        read_profile(file)


def test_a_missing_file_another_version_and_a_pickle_are_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_profile(tmp_path / "none")
    rest = {name: np.zeros(1) for name in ("path", "places", "candidates", "reference", "differences")}
    header = np.frombuffer(json.dumps({"version": 99}).encode(), dtype=np.uint8)
    with pytest.raises(UsageError, match="version 99, not 2"):
        read_profile(saved(tmp_path / "old", header=header, **rest))
    with pytest.raises(UsageError, match="is not a profile"):
        read_profile(saved(tmp_path / "pickle", header=np.array([object()], dtype=object), **rest))


def test_arrays_that_do_not_fit_are_damage(profile, tmp_path):
    write_profile(profile, tmp_path / "p")
    with np.load(tmp_path / "p") as found:
        arrays = dict(found)
    for name, change in (
        ("places", lambda a: a[:-1]),
        ("candidates", lambda a: a[:, :-1]),
        ("candidates", lambda a: a + 100_000),
        ("differences", lambda a: a[:-1]),
        ("reference", lambda a: np.full_like(a, np.nan)),
        ("path", lambda a: a[:-1]),
    ):
        with pytest.raises(UsageError, match=r"is a damaged profile|is not a profile"):
            read_profile(saved(tmp_path / "bad", **(arrays | {name: change(arrays[name])})))


def test_rows_of_a_name_are_its_arithmetics(profile):
    assert profile.names == ("reference", "w8", "w4", "w8a8")
    assert profile.of("w4") == [4, 5]
