"""The profile of a reference: what it and its ladder say to every probe, so that an audit needs no weights.

For each probe the reference's own greedy tokens are a path. At each of its places every model is recorded: the
logprobs of the tokens that any of them thinks likely, given the path so far. What an endpoint answers can be compared
up to its first token that leaves the path.

One file, `.npz` without pickles: a JSON header and five arrays. Logprobs are kept as differences from the reference in
half precision, which rounds them by less than 2e-4 nats where they are small.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitproof.errors import UsageError
from bitproof.store.files import write_aside

__all__ = [
    "REFERENCE",
    "Calibration",
    "Model",
    "Place",
    "Profile",
    "Served",
    "find_profile",
    "read_profile",
    "write_profile",
]

VERSION = 2
REFERENCE = "reference"
MOST_BYTES = 1 << 29  # unpacked
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Model:
    """One of the models of a profile. `name` is `reference` or a variant's; `numerics` is how it was computed."""

    name: str
    numerics: str  # "float32", "bfloat16", ...: see `build.NUMERICS`


@dataclass(frozen=True)
class Place:
    """Token number `number` (from 0) of the answer to probe `probe`."""

    probe: int
    number: int


@dataclass(frozen=True, eq=False)
class Served:
    """What an endpoint said at places of a profile: `columns` and `logprobs_nats` are [n, k].

    A column is that of the token in `Profile.candidates`, -1 where it is not among them or nothing was said.
    """

    places: NDArray[np.int64]  # [n], rows of `Profile.logprobs`
    columns: NDArray[np.int64]
    logprobs_nats: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the tests of a profile were set to by its own arithmetics, one left out at a time; see `calibration`.

    `slack` widens residual profiles (half a logarithm) for engines that the profile does not hold, by the number of
    logprobs at a token; `noise_nats` is, for each name, the scale of Gumbel noise on logits that makes greedy answers
    of one arithmetic likely under the others.
    """

    slack: dict[int, float] = field(default_factory=lambda: {1: 0.1})
    noise_nats: dict[str, float] = field(default_factory=dict)

    def slack_of(self, top: int) -> float:
        """Slack for `top` logprobs at a token: of the most that are no more than that."""
        return self.slack[max((n for n in self.slack if n <= top), default=min(self.slack))]


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """See the module. `path` is [probes, depth], -1 where a probe asks no further; `candidates` [places, width] token
    ids, -1 where there are fewer; `logprobs` [models, places, width] in nats. The first model is the reference in
    float32. `end_tokens` are the ids that end an answer.
    """

    reference: str
    reference_digest: str
    seed: int
    probes: tuple[str, ...]
    prompt_tokens: tuple[int, ...]  # of each probe in the reference's template
    texts: dict[int, str]  # of every token id of `path` and `candidates`
    models: tuple[Model, ...]
    path: NDArray[np.int32]
    places: tuple[Place, ...]
    candidates: NDArray[np.int32]
    logprobs: Floats
    end_tokens: tuple[int, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything in it."""
        found = hashlib.sha256(json.dumps(self._header, sort_keys=True).encode())
        for name, array in self._arrays.items():
            found.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The reference and every variant, once each, in their order."""
        return tuple(dict.fromkeys(model.name for model in self.models))

    def of(self, name: str) -> list[int]:
        """Rows of `logprobs` of one name: it in all of its numerics, float32 first."""
        return [row for row, model in enumerate(self.models) if model.name == name]

    @cached_property
    def probe_of_place(self) -> NDArray[np.int64]:
        """The probe of every place, [places]."""
        return np.array([place.probe for place in self.places], dtype=np.int64)

    @cached_property
    def number_of_place(self) -> NDArray[np.int64]:
        """The number in its answer of every place, [places]."""
        return np.array([place.number for place in self.places], dtype=np.int64)

    @cached_property
    def path_columns(self) -> NDArray[np.int64]:
        """The column of the path's own token at every place, [places]: it is always a candidate."""
        tokens = self.path[self.probe_of_place, self.number_of_place]
        found: NDArray[np.int64] = np.argmax(self.candidates == tokens[:, None], axis=1)
        return found

    def followed(self, on_path: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which places [places] an answer reaches that takes the path's token at the places `on_path`."""
        taken = np.ones(self.path.shape, dtype=bool)
        taken[self.probe_of_place, self.number_of_place] = on_path
        before = np.cumprod(np.concatenate([np.ones((len(taken), 1), dtype=bool), taken[:, :-1]], axis=1), axis=1)
        found: NDArray[np.bool_] = before.astype(bool)[self.probe_of_place, self.number_of_place]
        return found

    @property
    def _header(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "reference": self.reference,
            "reference_digest": self.reference_digest,
            "seed": self.seed,
            "probes": list(self.probes),
            "prompt_tokens": list(self.prompt_tokens),
            "texts": {str(key): text for key, text in sorted(self.texts.items())},
            "models": [asdict(model) for model in self.models],
            "end_tokens": list(self.end_tokens),
            "calibration": asdict(self.calibration),
        }

    @property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "path": self.path.astype(np.int32),
            "places": np.array([(place.probe, place.number) for place in self.places], dtype=np.int32),
            "candidates": self.candidates.astype(np.int32),
            "reference": self.logprobs[0].astype(np.float32),
            "differences": (self.logprobs[1:] - self.logprobs[0]).astype(np.float16),
        }


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile, aside first; raises EnvironmentFailed where it cannot be written."""
    header = np.frombuffer(json.dumps(profile._header, sort_keys=True).encode(), dtype=np.uint8)
    memory = io.BytesIO()
    arrays: dict[str, Any] = {"header": header, **profile._arrays}
    np.savez_compressed(memory, **arrays)
    write_aside(path, lambda aside: aside.write_bytes(memory.getvalue()))


def find_profile(path: Path | None, reference: str | None) -> Profile:
    """The profile of a file, or the one that comes with bitproof for a reference; raises UsageError where none is."""
    if path is not None:
        profile = read_profile(path)
        if reference not in (None, profile.reference):
            raise UsageError(
                f"is a profile of {profile.reference}, not of {reference}",
                where=str(path),
                remedy="Give the profile of that reference, or leave --reference out.",
            )
        return profile
    name = reference or "smollm2-135m"
    shipped = Path(str(resources.files("bitproof") / "data")) / f"{name}.profile"
    if "/" in name or not shipped.is_file():
        raise UsageError(
            f"no profile of {name!r} comes with bitproof",
            remedy="Make one from its weights: bitproof profile LADDER --model MODEL --out FILE, then --profile FILE.",
        )
    return read_profile(shipped)


def read_profile(path: Path) -> Profile:
    """Read a profile; raises UsageError for a file that is none, or is damaged, or of another version."""
    try:
        content = io.BytesIO(path.read_bytes())
        if sum(entry.file_size for entry in zipfile.ZipFile(content).infolist()) > MOST_BYTES:
            raise ValueError("it unpacks to more than a profile can hold")
        content.seek(0)
        with np.load(content, allow_pickle=False) as found:
            header = json.loads(bytes(found["header"]))
            arrays = {name: found[name] for name in ("path", "places", "candidates", "reference", "differences")}
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror or error})", where=str(path), remedy="Make one with bitproof profile."
        ) from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError("is not a profile", where=str(path), remedy="Make one with bitproof profile.") from error
    if not isinstance(header, dict) or header.get("version") != VERSION:
        raise UsageError(
            f"is a profile of version {header.get('version') if isinstance(header, dict) else None}, not {VERSION}",
            where=str(path),
            remedy="Make it again with bitproof profile.",
        )
    try:
        profile = _profile(header, arrays)
        sound = _is_sound(profile)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(
            "is a damaged profile", where=str(path), remedy="Make it again with bitproof profile."
        ) from error
    if not sound:
        raise UsageError("is a damaged profile", where=str(path), remedy="Make it again with bitproof profile.")
    return profile


def _profile(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Profile:
    reference = arrays["reference"].astype(np.float32)
    rest = reference + arrays["differences"].astype(np.float32)
    return Profile(
        reference=str(header["reference"]),
        reference_digest=str(header["reference_digest"]),
        seed=int(header["seed"]),
        probes=tuple(str(text) for text in header["probes"]),
        prompt_tokens=tuple(int(n) for n in header["prompt_tokens"]),
        texts={int(key): str(text) for key, text in header["texts"].items()},
        models=tuple(Model(**model) for model in header["models"]),
        path=arrays["path"],
        places=tuple(Place(int(probe), int(number)) for probe, number in arrays["places"]),
        candidates=arrays["candidates"],
        logprobs=np.concatenate([reference[None], rest]),
        end_tokens=tuple(int(token) for token in header["end_tokens"]),
        calibration=Calibration(
            slack={int(top): float(slack) for top, slack in header["calibration"]["slack"].items()},
            noise_nats={str(name): float(scale) for name, scale in header["calibration"]["noise_nats"].items()},
        ),
    )


def _is_sound(profile: Profile) -> bool:
    n_places, width = profile.candidates.shape
    n_probes, depth = profile.path.shape
    return (
        profile.logprobs.shape == (len(profile.models), n_places, width)
        and len(profile.places) == n_places
        and n_probes == len(profile.probes) == len(profile.prompt_tokens)
        and all(0 <= place.probe < n_probes and 0 <= place.number < depth for place in profile.places)
        and bool(np.isfinite(profile.logprobs[:, profile.candidates >= 0]).all())
        and profile.models[:1] == (Model(name=REFERENCE, numerics="float32"),)
        and {int(key) for key in np.unique(profile.candidates)} - {-1} <= profile.texts.keys()
    )
