"""Code in an answer: what of it is the function that was asked for.

Looked for in this order: the first fenced block that defines the function, the text without its prose where it does,
and a block or a text that is the function's body alone, under the given stub. What calls the function at top level
(examples, tests, `input()`) is form, not content, and is left out.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from dataclasses import dataclass
from textwrap import dedent, indent

__all__ = ["Extracted", "extract"]

_FENCED = re.compile(r"^[ \t]*(?P<fence>```+|~~~+)[^\n`]*\n(?P<code>.*?)(?P<end>^[ \t]*(?P=fence)|\Z)", re.M | re.S)
_FIRST_LINE = re.compile(r"^(?:def|async def|class|import|from|@\w)", re.M)
_LONGEST = 20_000  # characters looked at
_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try)
_FILTERS = threading.Lock()  # warning filters belong to the process


@dataclass(frozen=True)
class Extracted:
    """The code, and whether the answer went on after it, so that it is not cut off."""

    source: str
    ended: bool


def extract(answer: str, *, entry: str, stub: str) -> Extracted | None:
    """The code that defines `entry`; None where no part of the answer that parses does.

    `stub` is the function's first line (with docstring, if any) that a bare body is put under.
    """
    try:
        return _extract(answer.replace("\r\n", "\n")[:_LONGEST], entry, stub)
    except RecursionError:  # thousands of operators in one expression parse, and cannot be written out again
        return None


def _extract(answer: str, entry: str, stub: str) -> Extracted | None:
    found = [(block["code"], bool(block["end"])) for block in _FENCED.finditer(answer)]
    found.append((answer, False))
    for text, closed in found:
        whole = _parsed_prefix(_from_code(dedent(text)), entry)
        if whole:
            return Extracted(_without_calls(whole[0], entry), closed or whole[1])
    for text, closed in found:
        for body in (indent(dedent(text), "    "), text, "    " + text):
            under = _parsed_prefix(stub.rstrip("\n") + "\n" + body, entry)
            if under and _returns(under[0], entry):
                return Extracted(_without_calls(under[0], entry), closed or under[1])
    return None


def _from_code(text: str) -> str:
    first = _FIRST_LINE.search(text)
    return text[first.start() :] if first else text


def _parsed_prefix(text: str, entry: str) -> tuple[ast.Module, bool] | None:
    """The longest beginning that parses, defines `entry` and is not broken off within a block; whether more follows."""
    lines = text.rstrip().splitlines()
    for end in range(len(lines), 0, -1):
        rest = next((line for line in lines[end:] if line.strip()), "")
        if rest[:1].isspace():
            continue
        tree = _parse("\n".join(lines[:end]))
        if tree is None:
            continue
        function = _function(tree, entry)
        if function is None:
            return None
        after = lines[function.end_lineno or end :]
        return tree, any(line and not line[0].isspace() for line in after)
    return None


def _parse(source: str) -> ast.Module | None:
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in the answer's strings
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _function(tree: ast.Module, entry: str) -> ast.stmt | None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry:
            return node
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == entry for to in node.targets):
            return node
    return None


def _returns(tree: ast.Module, entry: str) -> bool:
    """Whether the function itself returns something, not only a function within it."""
    waiting: list[ast.AST] = [*getattr(_function(tree, entry), "body", ())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return) and node.value:
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return False


def _without_calls(tree: ast.Module, entry: str) -> str:
    called = {entry, "input", "print"}
    kept: list[ast.stmt] = [
        node
        for node in tree.body
        if isinstance(node, _KEPT)
        or (
            isinstance(node, ast.Assign | ast.AnnAssign)
            and not any(
                isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in called
                for call in ast.walk(node)
            )
        )
    ]
    return ast.unparse(ast.Module(body=kept, type_ignores=[]))
