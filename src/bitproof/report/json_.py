"""Results as JSON: the same figures as in the tables, at full precision."""

from __future__ import annotations

import json
from typing import Any

from bitproof.evaluate.plain import to_plain

__all__ = ["script_json", "to_json", "to_plain"]


def to_json(value: Any) -> str:
    """`value` as indented JSON text that UTF-8 can hold: half a surrogate pair, which it cannot, stays an escape."""
    text = json.dumps(to_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def script_json(value: Any) -> str:
    """`value` as JSON that no HTML parser can leave: `<`, `>` and `&` are written as JSON's own escapes."""
    text = json.dumps(to_plain(value), allow_nan=False, separators=(",", ":"))  # ASCII: also what UTF-8 cannot hold
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
