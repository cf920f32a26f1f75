"""The catalogue of accelerators, API prices and models: the shipped one, and a user's own over it.

A catalogue is YAML without anchors. Keys that are not known are errors with the nearest spelling; so are figures that
nothing can have. `date` is a year, a month or a day, because that is how exactly a price list can be dated.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bitproof.errors import UsageError

__all__ = [
    "Accelerator",
    "Api",
    "Catalogue",
    "Electricity",
    "ModelShape",
    "Purchase",
    "Rent",
    "find",
    "read_catalogue",
]

SHIPPED = "catalogue.yaml"
MAX_BYTES = 1_000_000
Precision = Literal["fp32", "bf16", "fp8", "int8", "fp4"]
Positive = Annotated[float, Field(gt=0, lt=1e15, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, lt=1 << 50)]
Words = Annotated[str, Field(max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Date = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class _Named(_Entry):
    name: Name


class _Price(_Entry):
    """`unverified` names what was not found where `source` says; "" is nothing."""

    date: Date
    source: Words
    unverified: Words = ""

    @property
    def basis(self) -> Literal["list price", "unverified"]:
        return "unverified" if self.unverified else "list price"


class Rent(_Price):
    """A list price for an hour of one accelerator, with the machine around it."""

    usd_per_hour: Positive


class Purchase(_Price):
    """A list price of one accelerator, without the machine around it."""

    usd: Positive


class Electricity(_Price):
    usd_per_kwh: Positive


class Accelerator(_Named):
    """A device: memory in GiB, memory bandwidth in 10^9 bytes a second, dense TFLOPS by precision, and power."""

    kind: Literal["gpu", "cpu"]
    memory_gib: Positive
    bandwidth_gb_s: Positive
    tflops: dict[Precision, Positive]
    tdp_w: Positive
    source: Words = ""
    unverified: Words = ""
    rent: Rent | None = None
    purchase: Purchase | None = None

    @model_validator(mode="after")
    def _computes(self) -> Accelerator:
        if not {"bf16", "fp32"} & self.tflops.keys():
            raise ValueError("tflops needs bf16 or fp32: every model computes something in it")
        return self


class Api(_Named, _Price):
    """List prices of an API for a million tokens. `claimed` is the precision that its provider states, if any."""

    model: Name
    provider: Name
    input_usd: Annotated[float, Field(ge=0, lt=1e6, allow_inf_nan=False)]
    output_usd: Positive
    claimed: Name | None = None


class ModelShape(_Named):
    """What a model's cost hangs on. `expert_parameters` are those of all experts together, in a mixture.

    `window_layers` of the layers see only the last `window` tokens; `latent` is the width of a compressed KV cache
    (DeepSeek's MLA) that replaces keys and values.
    """

    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    vocabulary: Count
    parameters: Count
    tied: bool = False  # the output head is the embedding
    experts: Count | None = None
    experts_per_token: Count | None = None
    expert_parameters: Count | None = None
    window: Count | None = None
    window_layers: Annotated[int, Field(ge=0)] = 0
    latent: Count | None = None

    @model_validator(mode="after")
    def _agrees(self) -> ModelShape:
        mixture = (self.experts, self.experts_per_token, self.expert_parameters)
        if any(mixture) and not all(mixture):
            raise ValueError("a mixture needs experts, experts_per_token and expert_parameters")
        if self.experts and self.experts_per_token and self.experts_per_token > self.experts:
            raise ValueError("experts_per_token exceeds experts")
        if self.window_layers > self.layers or (self.window_layers and not self.window):
            raise ValueError("window_layers needs a window, and cannot exceed layers")
        if (self.expert_parameters or 0) > self.parameters:
            raise ValueError("expert_parameters exceeds parameters")
        return self


class Catalogue(_Entry):
    """Everything, by kind."""

    electricity: Electricity | None = None
    accelerators: tuple[Accelerator, ...] = ()
    apis: tuple[Api, ...] = ()
    models: tuple[ModelShape, ...] = ()


NamedEntry = TypeVar("NamedEntry", bound=_Named)
NESTED: dict[str, type[BaseModel]] = {
    "electricity": Electricity,
    "accelerators": Accelerator,
    "apis": Api,
    "models": ModelShape,
    "rent": Rent,
    "purchase": Purchase,
}


def read_catalogue(path: Path | None = None) -> Catalogue:
    """The shipped catalogue, with the entries of `path` added to it, or in place of those of the same name.

    Raises UsageError with the place in the file for whatever is wrong with it.
    """
    shipped = _parsed(files("bitproof.data").joinpath(SHIPPED).read_bytes(), SHIPPED)
    if path is None:
        return shipped
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path), remedy="Give a YAML file.") from error
    own = _parsed(content, str(path))
    return Catalogue(
        electricity=own.electricity or shipped.electricity,
        accelerators=_over(shipped.accelerators, own.accelerators),
        apis=_over(shipped.apis, own.apis),
        models=_over(shipped.models, own.models),
    )


def find(entries: Sequence[NamedEntry], name: str, what: str) -> NamedEntry:
    """The entry of this name; raises UsageError with the nearest names."""
    for entry in entries:
        if entry.name == name:
            return entry
    names = [entry.name for entry in entries]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    remedy = f"Did you mean {', '.join(near)}?" if near else f"There are: {', '.join(names) or 'none'}."
    raise UsageError(f"there is no {what} {name!r} in the catalogue", remedy=remedy)


def _over(shipped: tuple[NamedEntry, ...], own: tuple[NamedEntry, ...]) -> tuple[NamedEntry, ...]:
    names = {entry.name for entry in own}
    return (*(entry for entry in shipped if entry.name not in names), *own)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """YAML without aliases, which could blow a small file up, and without keys given twice, which hide a mistake."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1}: aliases (*name) are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        double = next((key for key in keys if keys.count(key) > 1), None)
        if double is not None:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: the key {double!r} is given twice")
        return dict(super().construct_mapping(node, deep=deep))


def _parsed(content: bytes, where: str) -> Catalogue:
    if len(content) > MAX_BYTES:
        raise UsageError(f"is {len(content):,} bytes long", where=where, remedy=f"Give at most {MAX_BYTES:,}.")
    try:
        record = yaml.load(content.decode(), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UsageError(
            f"is not YAML that can be read: {' '.join(str(error).split())[:300]}", where=where, remedy="Correct it."
        ) from error
    try:
        catalogue = Catalogue.model_validate(record if record is not None else {})
    except ValidationError as error:
        raise _worded(error, record, where) from None
    for kind, entries in (("accelerators", catalogue.accelerators), ("apis", catalogue.apis)):
        _require_once([entry.name for entry in entries], kind, where)
    _require_once([entry.name for entry in catalogue.models], "models", where)
    return catalogue


def _require_once(names: Sequence[str], kind: str, where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is given twice", where=f"{where}, {kind}", remedy="Keep one of them.")


def _worded(error: ValidationError, record: Any, where: str) -> UsageError:
    """The first thing wrong, with the entry's name, and the nearest key where one is unknown."""
    # A key that is misspelled is also one that is missing: what was written comes first.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    place = f"{where}, {_place(first['loc'], record)}" if path else where
    if first["type"] == "extra_forbidden":
        kinds = [part for part in path[:-1] if part in NESTED]
        known = list((NESTED[kinds[-1]] if kinds else Catalogue).model_fields)
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        remedy = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
        return UsageError(f"unknown key {path[-1]!r}", where=place, remedy=remedy)
    said = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (it is {given!r})"[:80] if isinstance(given, str | int | float | None) else ""
    return UsageError(f"{said[:1].lower()}{said[1:]}{shown}", where=place, remedy="See the shipped catalogue.yaml.")


def _place(path: tuple[int | str, ...], record: Any) -> str:
    """`accelerators, h100-sxm, tdp_w`: entries by their names where they have one."""
    words, at = [], record
    for part in path:
        try:
            at = at[part]
        except (KeyError, IndexError, TypeError):
            at = None
        named = isinstance(part, int) and isinstance(at, dict) and isinstance(at.get("name"), str)
        words.append(str(at["name"]) if named and at else f"entry {part + 1}" if isinstance(part, int) else part)
    return ", ".join(words)
