"""Recordings as files: whole again, and every damaged or hostile one answered with one error."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bitproof.audit.recording import (
    Answer,
    Asking,
    Place,
    Recording,
    Sitting,
    public_address,
    read_recording,
    write_recording,
)
from bitproof.errors import EnvironmentFailed, UsageError

ASKING = Asking(probes=("one?", "two?"), greedy_tokens=4, samples=2)
ANSWERS = tuple(
    Answer(
        probe=probe,
        sampled=sampled,
        text="a\ud800\u202e\n",
        cut=True,
        answer_tokens=4,
        prompt_tokens=9,
        places=() if sampled else (Place(token="a", top=(("a", -0.1), ("b", -2.5))), Place(token="\ud800", top=())),
    )
    for probe in (0, 1)
    for sampled in (False, False, True, True)
)
SITTING = Sitting(began="2026-01-02T03:04:05+00:00", seed=0, answers=ANSWERS)
RECORDING = Recording(
    endpoint="https://host/v1", model="m", engine="HTTP", engine_version="", asking=ASKING, sittings=(SITTING, SITTING)
)


def written(tmp_path: Path, recording: Recording = RECORDING) -> Path:
    write_recording(recording, tmp_path / "m.recording")
    return tmp_path / "m.recording"


def signed(content: object) -> bytes:
    """A file with any content and the right hash."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"bitproof_recording":1,"recording":{text},"sha256":"{digest}"}}'.encode()


def test_a_recording_is_read_as_it_was_written(tmp_path):
    assert read_recording(written(tmp_path)) == RECORDING
    assert read_recording(written(tmp_path)).digest == RECORDING.digest
    assert [len(group) for group in RECORDING.groups(1, sampled=True)] == [2, 2]


def test_one_byte_changed_is_seen(tmp_path):
    content = written(tmp_path).read_bytes()
    for place in range(0, len(content) - 1, 97):
        (tmp_path / "changed").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UsageError):
            read_recording(tmp_path / "changed")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b"1" * 10_000,
        b'{"bitproof_recording":2,"sha256":"","recording":{}}',
        b'{"bitproof_recording":{"a":[]},"sha256":"","recording":{}}',
        b'{"bitproof_recording":1,"sha256":7,"recording":{}}',
        b'{"bitproof_recording":1,"sha256":"","recording":NaN}',
        signed(None),
        signed({}),
        signed({"endpoint": 1}),
    ],
)
def test_what_is_no_recording_is_one_error(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_recording(tmp_path / "f")
    assert str(tmp_path / "f") in str(error.value)
    assert "bitproof audit URL --record FILE" in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("sittings",), [], "fewer than two sittings"),
        (("sittings", 0, "began"), "yesterday", "when its sittings were"),
        (("sittings", 0, "began"), "2026-01-02", "when its sittings were"),
        (("sittings", 0, "answers", 0, "probe"), 2, "questions that are not in it"),
        (("sittings", 0, "answers", 0, "probe"), -1, "questions that are not in it"),
        (("sittings", 0, "answers", 0, "probe"), 1e300, "not a whole number"),
        (("sittings", 0, "answers", 0, "probe"), True, "not a whole number"),
        (("sittings", 0, "answers", 0, "prompt_tokens"), -1, "fewer than no tokens"),
        (("sittings", 0, "answers", 0, "answer_tokens"), 10**30, "not a whole number"),
        (("sittings", 0, "answers", 0, "places", 0, "top", 0, 1), 5.0, "logprobs that are none"),
        (("sittings", 0, "answers", 0, "places", 0, "top", 0, 1), None, "logprobs that are none"),
        (("sittings", 0, "answers", 0, "places", 0, "top", 0), ["a"], "2 values"),
        (("sittings", 0, "answers"), None, "not a list"),
        (("asking", "samples"), 10**9, "cannot be asked"),
        (("asking", "probes"), [], "cannot be asked"),
        (("asking", "temperature"), None, "cannot be asked"),
        (("asking", "extra"), 1, "'extra' is unknown"),
        (("endpoint",), {"a": 1}, "not a text"),
    ],
)
def test_damage_behind_a_right_hash_is_one_error(tmp_path, path, value, words):
    content = json.loads(written(tmp_path).read_bytes())["recording"]
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (tmp_path / "f").write_bytes(signed(content))
    with pytest.raises(UsageError, match=words):
        read_recording(tmp_path / "f")


def test_more_answers_than_were_asked_for_are_refused(tmp_path):
    content = json.loads(written(tmp_path).read_bytes())["recording"]
    content["sittings"][0]["answers"] *= 2
    (tmp_path / "f").write_bytes(signed(content))
    with pytest.raises(UsageError, match="more answers to a question than were asked for"):
        read_recording(tmp_path / "f")


def test_what_cannot_be_read_or_is_too_large(tmp_path, monkeypatch):
    for where in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_recording(where)
    monkeypatch.setattr("bitproof.audit.recording.MOST_BYTES", 100)
    with pytest.raises(UsageError, match="larger than a recording can be"):
        read_recording(written(tmp_path))


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:secret@host:8443/v1?key=secret#secret", "https://host:8443/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://[host/v1?secret", ""),
        ("secret", ""),
        ("", ""),
    ],
)
def test_of_an_address_no_secret_is_kept(tmp_path, url, kept):
    assert public_address(url) == kept
    file = written(tmp_path, replace(RECORDING, endpoint=url))
    assert "secret" not in file.read_text(encoding="utf-8")
    assert read_recording(file).endpoint == kept


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "folder" / "in it").mkdir(parents=True)
    with pytest.raises(EnvironmentFailed, match="could not be written"):
        write_recording(RECORDING, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_tokens_of_an_asking_are_counted():
    assert ASKING.n_requests(repeats=1) == 2 * (1 + 2)
    assert ASKING.n_requests(repeats=2, sittings=2) == 2 * 2 * (2 + 2)
    with pytest.raises(ValueError, match="cannot be asked"):
        Asking(probes=("twice", "twice"))
