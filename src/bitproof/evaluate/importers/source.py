"""Reading files that users wrote: text, JSON lines and YAML with the lines things stand on, and templates.

YAML is loaded with the safe constructor, where any further tag (`!function`, `!!python/...`) is refused by name; what
its aliases would expand to is bounded. Templates are Jinja's, in its sandbox, with undefined names as errors.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bitproof.errors import UnsupportedError, UsageError

__all__ = ["Record", "compose", "construct", "local_file", "nearest", "read_records", "read_text", "render"]

MAX_BYTES = 256 << 20
MAX_NODES = 1_000_000  # of a YAML file with its aliases expanded
MAX_DEPTH = 100
MAX_RENDERED = 1 << 20  # characters
NO_TEXT = ("is no text", "Save it as UTF-8.")
OTHER_FORMS = {  # by their first bytes
    b"PK": ("is a zip archive", "Unpack it first."),
    b"\x1f\x8b": ("is compressed with gzip", "Unpack it first."),
    b"PAR1": ("is a parquet file", "Name it .parquet."),
    b"\xff\xfe": ("is UTF-16", "Save it as UTF-8."),
    b"\xfe\xff": ("is UTF-16", "Save it as UTF-8."),
}


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which also products and powers are bounded: "a" * 10**10 would take all memory."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The product or the power, if its operands are small."""
        sizes = [len(side) if isinstance(side, str | list | tuple) else abs(side) for side in (left, right)]
        if max(sizes) > MAX_RENDERED or (operator == "**" and sizes[1] > 64) or sizes[0] * sizes[1] > MAX_RENDERED**2:
            raise ValueError("a product or a power grows beyond all bounds")
        if not all(isinstance(side, int | float) for side in (left, right)) and sizes[0] * sizes[1] > MAX_RENDERED:
            raise ValueError("a product grows beyond all bounds")
        return super().call_binop(context, operator, left, right)


_ENVIRONMENT = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True)


@dataclass(frozen=True)
class Record:
    """One mapping of a file, and where it stands ("items.jsonl, line 3"), for messages."""

    where: str
    values: dict[str, Any]


def read_text(path: Path) -> str:
    """The file as UTF-8; raises UsageError where it cannot be read, is too large, or is not text."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"is larger than {MAX_BYTES >> 20} MiB", where=str(path), remedy="Split it.")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            start = file.read(4)
        what, remedy = next((told for magic, told in OTHER_FORMS.items() if start.startswith(magic)), NO_TEXT)
        raise UsageError(f"{what} (byte {error.start} is not UTF-8)", where=str(path), remedy=remedy) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot be read: {reason}", where=str(path)) from error


def local_file(folder: Path, name: str, *, where: str) -> Path:
    """A file named in a configuration: within the folder of that configuration, links followed, or UsageError."""
    root = folder.resolve()
    try:
        path = (root / name.removeprefix("file://")).resolve()
        inside, there = path.is_relative_to(root), path.is_file()
    except (OSError, ValueError) as error:
        raise UsageError(f"{name!r} is no file name", where=where) from error
    if not inside:
        remedy = "Only files in its own folder are read: move it there."
        raise UsageError(f"{name!r} lies outside the folder of this file", where=where, remedy=remedy)
    if not there:
        raise UsageError(f"there is no file {name!r} beside it", where=where)
    return path


def read_records(path: Path) -> list[Record]:
    """The mappings of a JSONL file, or of a JSON file that holds a list; raises UsageError with the line."""
    text = read_text(path)
    if path.suffix == ".json":
        values = _json(text, str(path))
        values = values.get("data", [values]) if isinstance(values, dict) else values
        values = values if isinstance(values, list) else [values]
        numbered = [(f"{path}, entry {number}", value) for number, value in enumerate(values, start=1)]
    else:
        lines = ((f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), start=1))
        numbered = [(where, _json(line, where)) for where, line in lines if line.strip()]
    for where, value in numbered:
        if not isinstance(value, dict):
            raise UsageError(f"holds no mapping but {_shown(value)}", where=where, remedy='Write {"id": ..., ...}.')
    return [Record(where, value) for where, value in numbered]


def _json(text: str, where: str) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_once)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise UsageError("holds half of a surrogate pair, which is no character", where=where) from error
    except json.JSONDecodeError as error:
        raise UsageError(f"is not JSON: {error.msg} (column {error.colno})", where=where) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is not JSON: {error}", where=where) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, in which a tag that it does not know is refused by name."""


def _refuse(loader: _Loader, node: yaml.Node) -> Any:
    raise UnsupportedError(
        f"the tag {node.tag} is not read: nothing in a file of items is executed",
        where=_at(node),
        remedy="Write out as data what it would compute.",
    )


_Loader.add_constructor(None, _refuse)
_Loader.yaml_implicit_resolvers = {  # YAML 1.2: `no` is an answer, not false
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":bool") or first in "tTfF"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def compose(path: Path) -> yaml.Node:
    """The YAML file as nodes that know their lines; raises UsageError where it is not YAML, or is a trap."""
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).replace('in "<unicode string>",', "at").split())[:300]
        raise UsageError(f"is not YAML: {reason}", where=str(path)) from error
    if node is None:
        raise UsageError("is empty", where=str(path))
    for inner in _bounded(node, str(path)):
        inner.start_mark.name = str(path)
    return node


def _bounded(root: yaml.Node, where: str) -> Iterable[yaml.Node]:
    """Every node with aliases expanded; raises UsageError where they are too many, or contain themselves."""
    stack, count = [(root, 0)], 0
    while stack:
        node, depth = stack.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise UsageError("its aliases or levels grow beyond all bounds", where=where, remedy="Write them out.")
        yield node
        if isinstance(node, yaml.SequenceNode):
            stack += [(inner, depth + 1) for inner in node.value]
        elif isinstance(node, yaml.MappingNode):
            stack += [(inner, depth + 1) for pair in node.value for inner in pair]


def construct(node: yaml.Node) -> Any:
    """The value of a node; raises UsageError for a key that stands there twice, UnsupportedError for a foreign tag."""
    if isinstance(node, yaml.MappingNode):
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = construct(key_node)
            if not isinstance(key, str | int | float | bool) or key in found:
                said = "stands there twice" if isinstance(key, str) else "is no key"
                raise UsageError(f"{_shown(key)} {said}", where=_at(key_node))
            found[key if isinstance(key, str) else str(key)] = construct(value_node)
        return found if node.tag == "tag:yaml.org,2002:map" else _scalar(node)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [construct(inner) for inner in node.value]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        value = loader.construct_object(node, deep=True)
        if isinstance(value, str):
            value.encode()  # raises for half of a surrogate pair, a ValueError too
        return value
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"is no value: {' '.join(str(error).split())[:200]}", where=_at(node)) from error
    finally:
        loader.dispose()


def _at(node: yaml.Node) -> str:
    return f"{node.start_mark.name}, line {node.start_mark.line + 1}"


def render(template: str, values: dict[str, Any], *, where: str) -> str:
    """A Jinja template filled in, in the sandbox; raises UsageError with what Jinja says."""
    try:
        text = "".join(_limited(_ENVIRONMENT.from_string(template).generate(**values), where))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"the template {_shown(template)} cannot be filled in: {reason}", where=where) from error
    return text


def _limited(parts: Iterable[str], where: str) -> Iterable[str]:
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_RENDERED:
            raise UsageError(f"a template gives more than {MAX_RENDERED:,} characters", where=where)
        yield part


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy: the nearest of the known names, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}."


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
