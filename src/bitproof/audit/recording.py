"""What an endpoint answered, kept so that it can be asked again later: one JSON file.

::

    {"bitproof_recording": 1, "sha256": "...", "recording": {"endpoint": ..., "asking": ..., "sittings": [...]}}

A sitting asks every probe several times; a recording holds two or more of them, so that it shows how far the endpoint
is from itself. The hash is over the canonical JSON of `recording`: it shows damage, and is no signature. Keys are
nowhere in it: of the endpoint's address the part before the query is kept.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from bitproof.errors import UsageError
from bitproof.evaluate.plain import parse, read_as, to_plain
from bitproof.store.files import write_text

__all__ = ["Answer", "Asking", "Place", "Recording", "Sitting", "public_address", "read_recording", "write_recording"]

Kind = TypeVar("Kind")

VERSION = 1
MOST_BYTES = 64 * 2**20  # a recording of 40 probes with 20 logprobs a token has two million
REMEDY = "Make one with bitproof audit URL --record FILE."


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a sitting is asked, the same in a recording and in what is compared with it.

    Every probe is asked `repeats` times at temperature 0, for `greedy_tokens` with `top_logprobs` alternatives each (0:
    the endpoint gives none), and `samples` times at `temperature`, for `sampled_tokens`.
    """

    probes: tuple[str, ...]
    greedy_tokens: int = 16
    repeats: int = 2
    sampled_tokens: int = 4
    samples: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    top_logprobs: int = 20

    def __post_init__(self) -> None:
        sound = (
            1 <= len(self.probes) <= 10_000
            and len(set(self.probes)) == len(self.probes)
            and 1 <= self.greedy_tokens <= 4096
            and 1 <= self.sampled_tokens <= 4096
            and 2 <= self.repeats <= 100  # one alone says nothing of a sitting's own spread
            and 2 <= self.samples <= 1000
            and 0 < self.temperature <= 10
            and 0 < self.top_p <= 1
            and 0 <= self.top_logprobs <= 20
        )
        if not sound:
            raise ValueError("these numbers of probes, answers, tokens or logprobs, or these settings, cannot be asked")

    def n_requests(self, *, repeats: int, sittings: int = 1) -> int:
        """How many there are in so many sittings, each with so many greedy answers to a probe."""
        return sittings * len(self.probes) * (repeats + self.samples)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One token of an answer, and the alternatives there with their logprobs in nats, likeliest first; or none."""

    token: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer to the probe of that number; `places` is empty where the endpoint gave no logprobs."""

    probe: int
    sampled: bool
    text: str
    cut: bool  # at its limit, as the endpoint says
    answer_tokens: int
    prompt_tokens: int
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """All answers of one sitting; `lost` are requests that failed."""

    began: str  # ISO 8601, UTC
    seed: int
    answers: tuple[Answer, ...]
    lost: int = 0


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What an endpoint answered in two or more sittings, and what it said it was."""

    endpoint: str
    model: str
    engine: str
    engine_version: str
    asking: Asking
    sittings: tuple[Sitting, ...]
    findings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all that is in it."""
        return _digest(to_plain(self))

    @property
    def answers(self) -> list[Answer]:
        """All answers of all sittings."""
        return [answer for sitting in self.sittings for answer in sitting.answers]

    def groups(self, probe: int, *, sampled: bool) -> list[list[Answer]]:
        """The answers to one probe, of one kind, by sitting."""
        return [
            [answer for answer in sitting.answers if answer.probe == probe and answer.sampled == sampled]
            for sitting in self.sittings
        ]


def public_address(url: str) -> str:
    """An address without what may hold a secret: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) if parts.scheme else ""


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording, aside first; raises EnvironmentFailed where it cannot be written."""
    plain = to_plain(replace(recording, endpoint=public_address(recording.endpoint)))
    write_text(path, _canonical({"bitproof_recording": VERSION, "sha256": _digest(plain), "recording": plain}) + "\n")


def read_recording(path: Path) -> Recording:
    """Read a recording; raises UsageError for a file that is none, or is damaged, or of another version."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError("is larger than a recording can be", where=str(path), remedy=REMEDY)
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror or error})", where=str(path), remedy=REMEDY) from error
    plain = _answered(lambda: parse(content, where=str(path)))
    if not isinstance(plain, dict) or plain.keys() != {"bitproof_recording", "sha256", "recording"}:
        raise UsageError("is not a recording", where=str(path), remedy=REMEDY)
    if plain["bitproof_recording"] != VERSION:
        said = json.dumps(plain["bitproof_recording"])[:40]
        raise UsageError(f"is a recording of version {said}, not {VERSION}", where=str(path), remedy=REMEDY)
    if plain["sha256"] != _digest(plain["recording"]):
        raise UsageError("is damaged: its hash is not that of its content", where=str(path), remedy=REMEDY)
    recording = _answered(lambda: read_as(Recording, plain["recording"], where=str(path)))
    if fault := _fault(recording):
        raise UsageError(f"cannot be used: {fault}", where=str(path), remedy=REMEDY)
    return recording


def _answered(read: Callable[[], Kind]) -> Kind:
    """What `read` reads, its errors with the remedy that fits a recording."""
    try:
        return read()
    except UsageError as error:
        raise UsageError(error.what, where=error.where, remedy=REMEDY) from error


def _fault(recording: Recording) -> str:
    """What is wrong with a file that has the right form; empty where nothing is."""
    asking, sittings = recording.asking, recording.sittings
    if len(sittings) < 2:
        return "it holds fewer than two sittings"
    if not all(_is_time(sitting.began) for sitting in sittings):
        return "it does not say when its sittings were"
    answers = [answer for sitting in sittings for answer in sitting.answers]
    if not answers:
        return "it holds no answers"
    if not all(0 <= answer.probe < len(asking.probes) for answer in answers):
        return "it holds answers to questions that are not in it"
    if any(min(answer.answer_tokens, answer.prompt_tokens) < 0 for answer in answers):
        return "it counts fewer than no tokens"
    given = Counter((n, answer.probe, answer.sampled) for n, one in enumerate(sittings) for answer in one.answers)
    if max(given.values()) > max(asking.repeats, asking.samples):
        return "it holds more answers to a question than were asked for"
    logprobs = [logprob for answer in answers for place in answer.places for _, logprob in place.top]
    if not all(math.isfinite(logprob) and -1000 <= logprob <= 0.01 for logprob in logprobs):
        return "it holds logprobs that are none"
    return ""


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _canonical(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":"))


def _digest(plain: Any) -> str:
    return hashlib.sha256(_canonical(plain).encode("ascii")).hexdigest()
