"""Results as JSON and back: what `to_plain` writes, `read_as` reads as the same records, driven by their annotations.

Strict: an unknown key, a wrong type or a missing figure is an error that says where. Importing this loads no tensors.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bitproof.errors import UsageError
from bitproof.types import NotMeasured

__all__ = ["AGAIN", "read_as", "read_json", "to_plain"]

Kind = TypeVar("Kind")

AGAIN = (
    "It is not as bitproof wrote it, or another version did: run the command that made it again, with the same --out; "
    "what was answered is not asked again."
)
NOT_MEASURED = "not_measured"
LARGEST = 2**63 - 1  # whole number
SCALARS: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    str: (str,),
    NoneType: (NoneType,),
}


def to_plain(value: Any) -> Any:
    """Dataclasses, paths, enums and NumPy numbers as what JSON has.

    A `NotMeasured` becomes `{"not_measured": reason}`; NaN and infinity, which JSON lacks, become null.
    Raises TypeError for anything else that JSON cannot hold.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case NotMeasured():
            return {NOT_MEASURED: value.reason}
        case Enum():
            return to_plain(value.value)
        case PurePath():
            return str(value)
        case Mapping():
            return {str(key): to_plain(item) for key, item in value.items()}
        case list() | tuple():
            return [to_plain(item) for item in value]
        case set() | frozenset():
            return sorted(to_plain(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return to_plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def read_json(path: Path) -> Any:
    """The JSON of a file; raises UsageError where it is not there or not JSON."""
    try:
        return parse(path.read_bytes(), where=str(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError("there is no such file", where=str(path)) from error


def parse(text: bytes, *, where: str) -> Any:
    """JSON from outside; raises UsageError naming `where`. NaN, which JSON lacks, is refused."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is not JSON ({error})", where=where, remedy=AGAIN) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def read_as(kind: type[Kind], plain: Any, *, where: str) -> Kind:
    """`plain`, as `to_plain` made it, as a `kind` again. A figure that is null is NaN.

    Raises UsageError naming `where` and the place in it.
    """
    try:
        return cast("Kind", _read(kind, plain, ""))
    except _DamagedError as error:
        place = error.place.removeprefix(".")
        raise UsageError(error.what, where=f"{where}, {place}" if place else where, remedy=AGAIN) from error


class _DamagedError(Exception):
    """What is wrong with a record, and at which place in it: ".variants[0].name"."""

    def __init__(self, what: str, place: str) -> None:
        super().__init__(what)
        self.what, self.place = what, place


def _read(kind: Any, plain: Any, place: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return plain
    if origin in (Union, UnionType):
        return _read(_member(parts, plain, place), plain, place)
    if not _fits(kind, plain):
        raise _wrong(kind, plain, place)
    if origin is tuple:
        kinds = parts[:1] * len(plain) if parts[1:] == (...,) else parts
        if len(kinds) != len(plain):
            raise _wrong(f"{len(kinds)} values", plain, place)
        return tuple(
            _read(each, value, f"{place}[{i}]") for i, (each, value) in enumerate(zip(kinds, plain, strict=True))
        )
    if origin is dict:
        return {key: _read(parts[1], value, f"{place}[{key[:80]!r}]") for key, value in plain.items()}
    if kind is NotMeasured:
        return NotMeasured(_read(str, plain[NOT_MEASURED], place))
    if dataclasses.is_dataclass(kind):
        return _record(kind, plain, place)
    return math.nan if kind is float and plain is None else plain


def _fits(kind: Any, plain: Any) -> bool:
    """Whether the outside of `plain` is that of a `kind`."""
    origin = get_origin(kind)
    if origin is Literal:
        return isinstance(plain, str) and plain in get_args(kind)
    if origin is tuple:
        return isinstance(plain, list)
    if kind is NotMeasured:
        return isinstance(plain, dict) and plain.keys() == {NOT_MEASURED}
    if origin is dict or dataclasses.is_dataclass(kind):
        return isinstance(plain, dict)
    if type(plain) is int and not -LARGEST <= plain <= LARGEST:
        return False
    return type(plain) in SCALARS[kind] or (kind is float and plain is None)


def _member(parts: tuple[Any, ...], plain: Any, place: str) -> Any:
    """The member of a union that `plain` is: a reason before a record, None before NaN."""
    order = sorted(parts, key=lambda kind: kind not in (NotMeasured, NoneType))
    for kind in order:
        if _fits(kind, plain):
            return kind
    raise _wrong(" or ".join(_words(kind) for kind in parts), plain, place)


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Name -> its annotation, and whether it must be given."""
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
    }


def _record(kind: Any, plain: dict[str, Any], place: str) -> Any:
    known = _fields(kind)
    unknown = [key for key in plain if key not in known]
    lacking = [name for name, (_, required) in known.items() if required and name not in plain]
    if unknown or lacking:
        words = [f"{key[:80]!r} is unknown here" for key in unknown[:3]] + [
            f"{name!r} is missing" for name in lacking[:3]
        ]
        raise _DamagedError(", ".join(words), place)
    values = {name: _read(known[name][0], value, f"{place}.{name}") for name, value in plain.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise _DamagedError(str(error), place) from error


def _wrong(kind: Any, plain: Any, place: str) -> _DamagedError:
    shown = json.dumps(plain)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    return _DamagedError(f"{shown} is not {kind if isinstance(kind, str) else _words(kind)}", place)


def _words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", NoneType: "null"}
    names |= {NotMeasured: "the reason why it was not measured"}
    if kind in names:
        return names[kind]
    if dataclasses.is_dataclass(kind):
        return f"an object with {', '.join(field.name for field in dataclasses.fields(kind)[:4])}, ..."
    return "a list" if get_origin(kind) is tuple else "an object"
