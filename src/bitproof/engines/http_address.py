"""Where an endpoint is, what opens it and what it serves: URLs, keys and models, checked before it is asked."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence

import httpx2

from bitproof.engines.http_failures import printable
from bitproof.errors import UsageError

__all__ = ["LOOPBACK", "base_url", "choose_model", "key_from_environment"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def key_from_environment(variable: str) -> str:
    """The key in an environment variable; raises UsageError where it is unset or cannot be sent as a header."""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError("holds no key", where=f"the environment variable {variable}", remedy="Set it, and try again.")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise UsageError(
            "holds characters that no key has", where=f"the environment variable {variable}", remedy="Copy it again."
        )
    return key


def base_url(url: str) -> httpx2.URL:
    """A base URL without what would be doubled; raises UsageError for one that cannot be asked, or holds a password."""
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL as error:
        raise UsageError(
            f"is no URL ({error})", where="the endpoint's address", remedy="E.g. https://HOST/v1."
        ) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError("is no http or https URL", where=parsed.host or "the endpoint", remedy="E.g. https://HOST/v1.")
    if parsed.userinfo:
        raise UsageError(
            "its URL holds a password", where=parsed.host, remedy="Put the key into an environment variable."
        )
    path = re.sub(r"(/chat)?/completions$|/messages$", "", parsed.path.rstrip("/"))
    return parsed.copy_with(path=path or "/", fragment=None)


def choose_model(asked: str, offered: Sequence[str], where: str, *, any_name: bool = False) -> str:
    """The model's name: the one asked for if it is offered, the only one offered if none was asked for.

    `any_name` says that the server answers with its one model to any name, as llama.cpp's does. Raises UsageError with
    the nearest names offered.
    """
    if not offered:
        return asked
    if not asked and len(offered) == 1:
        return offered[0]
    if asked in offered or (any_name and len(offered) == 1):
        return asked
    near = difflib.get_close_matches(asked, offered, n=5, cutoff=0.3) or sorted(offered)[:5]
    more = f" and {len(offered) - len(near)} more" if len(offered) > len(near) else ""
    raise UsageError(
        f"has no model {asked!r}" if asked else f"offers {len(offered)} models, and none was named",
        where=where,
        remedy=f"It offers {', '.join(map(printable, near))}{more}.",
    )
