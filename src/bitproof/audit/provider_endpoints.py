"""A file of endpoints that serve one model: YAML or JSON, its keys strict, its keys to APIs named and never held::

model: meta-llama/llama-3.1-8b-instruct    # the name at endpoints that give none of their own
shape: llama-3.1-8b                        # of the catalogue of `bitproof cost`, for margins
endpoints:
  - {name: mine, url: "http://127.0.0.1:8000/v1", reference: true}
  - {name: together, preset: together, model: meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo, price: [0.18, 0.18]}
  - {name: deepinfra, preset: openrouter, provider: deepinfra/bf16}
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator

from bitproof.audit.conversation import PATIENCE
from bitproof.audit.provider_presets import PRESETS, Protocol
from bitproof.engines.anthropic import AnthropicGenerator
from bitproof.engines.generation import Generator
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_address import base_url, key_from_environment
from bitproof.engines.http_client import Patience
from bitproof.errors import UsageError

__all__ = ["Endpoint", "Endpoints", "nearest", "open_endpoint", "read_endpoints", "read_mapping"]

MOST_BYTES, MOST_BODY = 1_000_000, 10_000
FORM = "An endpoint is {name: ..., preset: ...} or {name: ..., url: ...}, see docs/providers.md."
RESOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
Text = Annotated[str, Field(max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Price = Annotated[float, Field(ge=0, lt=1e6, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class _Endpoint(_Record):
    name: Name
    preset: Text = ""
    url: Text = ""
    model: Text = ""
    key_env: Name | None = None
    resource: Text = ""
    provider: Text = ""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    price: tuple[Price, Price] | None = None
    claimed: Text = ""
    reference: StrictBool = False
    body: dict[str, Any] = {}

    @field_validator("body")
    @classmethod
    def _is_json(cls, body: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(json.dumps(body, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            raise ValueError("holds what JSON cannot") from None
        if size > MOST_BODY:
            raise ValueError(f"is longer than {MOST_BODY:,} characters")
        return body


class _File(_Record):
    model: Text = ""
    shape: Text = ""
    endpoints: Annotated[list[_Endpoint], Field(min_length=1, max_length=100)]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One API serving the model. `top_logprobs` None means that nobody knows; `price` is US dollars for a million
    prompt tokens and a million answer tokens; `provider` pins one behind OpenRouter; `claimed` is what its seller
    states, as the user writes it. `reference` marks the one that the others' quality is measured against.
    """

    name: str
    url: str
    model: str
    preset: str = ""
    protocol: Protocol = "openai"
    key_env: str | None = None
    key_header: str = ""
    unlisted: bool = False
    top_logprobs: int | None = None
    provider: str = ""
    price: tuple[float, float] | None = None
    claimed: str = ""
    reference: bool = False
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """What a file holds. `shape` names the model for `bitproof cost`, empty where nobody said."""

    endpoints: tuple[Endpoint, ...]
    shape: str = ""

    @property
    def reference(self) -> Endpoint | None:
        """The endpoint that is marked as the reference."""
        return next((one for one in self.endpoints if one.reference), None)


def read_endpoints(path: Path) -> Endpoints:
    """The endpoints of a file; raises UsageError with the place in it for whatever is wrong."""
    where, record = str(path), read_mapping(path)
    try:
        file = _File.model_validate(record)
    except ValidationError as error:
        raise _worded(error, record, where) from None
    found = tuple(_endpoint(one, where, file.model) for one in file.endpoints)
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is given twice", where=where, remedy="Give every endpoint its own name.")
    if sum(one.reference for one in found) > 1:
        raise UsageError("has more than one reference", where=where, remedy="Mark one endpoint `reference: true`.")
    return Endpoints(endpoints=found, shape=file.shape)


def open_endpoint(endpoint: Endpoint, *, patience: Patience = PATIENCE) -> Generator:
    """Its engine, one request at a time, asked by messages. Raises UsageError for a key that is not there."""
    if endpoint.protocol == "anthropic":
        return AnthropicGenerator(
            endpoint.model, url=endpoint.url, key_env=endpoint.key_env or "", workers=1, patience=patience
        )
    header = endpoint.key_header
    return HttpGenerator(
        endpoint.url,
        model=endpoint.model or None,
        key_env=None if header else endpoint.key_env,
        headers={header: key_from_environment(endpoint.key_env or "")} if header else None,
        workers=1,
        api="chat",
        patience=patience,
        body=endpoint.body,
        unlisted=endpoint.unlisted,
    )


def read_mapping(path: Path) -> dict[str, Any]:
    """A mapping from a YAML or JSON file; raises UsageError where it is none."""
    import yaml

    where = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", where=where, remedy="Give a YAML or JSON file."
        ) from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"is {len(content):,} bytes long", where=where, remedy=f"Give at most {MOST_BYTES:,}.")
    try:
        record = json.loads(content) if path.suffix == ".json" else yaml.safe_load(content.decode())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise UsageError(f"is not {kind}: {reason}", where=where, remedy="Correct it.") from error
    if not isinstance(record, dict):
        raise UsageError("holds no mapping", where=where, remedy="Write `key: value`, one a line.")
    return {str(key): value for key, value in record.items()}


def nearest(key: str, known: Collection[str]) -> str:
    """What to write in place of a name that is unknown."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."


def _endpoint(record: _Endpoint, where: str, model: str) -> Endpoint:
    place = f"{where}, {record.name}"
    given = record.model_dump(exclude={"preset", "resource"})
    found = Endpoint(**{**given, "model": record.model or model})
    found = _with_preset(found, record.preset, record.resource, place)
    base_url(found.url)
    return found


def _with_preset(found: Endpoint, name: str, resource: str, where: str) -> Endpoint:
    if not name and not found.url:
        raise UsageError("has neither a preset nor a URL", where=where, remedy=f"Presets: {', '.join(PRESETS)}.")
    if name and name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", where=where, remedy=nearest(name, PRESETS))
    if found.provider and name != "openrouter":
        raise UsageError("pins a provider", where=where, remedy="Only the preset openrouter can.")
    needs = bool(name) and "{resource}" in PRESETS[name].url and not found.url
    if bool(resource) != needs or (needs and not RESOURCE.fullmatch(resource)):
        raise UsageError(
            f"its resource is {resource!r}", where=where, remedy="The preset azure takes one, the name in its address."
        )
    if not name:
        return found
    preset = PRESETS[name]
    if preset.protocol == "anthropic" and not found.model:
        raise UsageError("has no model", where=where, remedy="Name it: `model: claude-...`.")
    pin = {"only": [found.provider], "allow_fallbacks": False, "require_parameters": True}
    return replace(
        found,
        preset=name,
        url=found.url or preset.url.format(resource=resource),
        key_env=found.key_env or preset.key_env,
        key_header=preset.key_header,
        protocol=preset.protocol,
        unlisted=preset.unlisted,
        top_logprobs=preset.top_logprobs if found.top_logprobs is None else found.top_logprobs,
        body={**dict.fromkeys(preset.refused), **({"provider": pin} if found.provider else {}), **found.body},
    )


def _worded(error: ValidationError, record: dict[str, Any], where: str) -> UsageError:
    """The first thing wrong: a key that is misspelled is also one that is missing, so what was written comes first."""
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    path = first["loc"]
    nested = len(path) > 1 and path[0] == "endpoints" and isinstance(path[1], int)
    place = f"{where}, {_named(record['endpoints'][path[1]], int(path[1]))}" if nested else where
    key = ", ".join(str(part) for part in path[2 if nested else 0 :])
    if first["type"] == "extra_forbidden":
        known = list((_Endpoint if nested else _File).model_fields)
        return UsageError(f"unknown key {key!r}", where=place, remedy=nearest(key, known))
    given = first.get("input")
    shown = f" (it is {str(given)[:60]!r})" if isinstance(given, str | int | float | list | None) else ""
    said = first["msg"].removeprefix("Value error, ")
    return UsageError(f"{f'{key}: ' if key else ''}{said[:1].lower()}{said[1:]}{shown}", where=place, remedy=FORM)


def _named(record: Any, number: int) -> str:
    name = record.get("name") if isinstance(record, dict) else None
    return name[:80] if isinstance(name, str) and name else f"endpoint {number + 1}"
