"""What a line that repeats a command does not show: keys in the addresses among its arguments."""

from __future__ import annotations

import re

__all__ = ["without_keys"]

ADDRESS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s]*@)?(?P<place>[^?#\s]*)(?:\?(?P<query>[^#\s]*))?", re.I
)
PARAMETER = re.compile(r"(?P<name>[^&;=]*)=?(?P<value>[^&;]*)")
SHOWN = "***"
LONGEST = 16  # characters of a value that is surely no key: a version, a region


def without_keys(argument: str) -> str:
    """An argument as it is, but what is before the host of an address in it, and what a query may hold as a key."""
    return ADDRESS.sub(_hidden, argument)


def _hidden(address: re.Match[str]) -> str:
    user = f"{SHOWN}@" if address["user"] else ""
    query = "" if address["query"] is None else f"?{PARAMETER.sub(_parameter, address['query'])}"
    return f"{address['scheme']}{user}{address['place']}{query}"


def _parameter(found: re.Match[str]) -> str:
    from bitproof.engines.http_secrets import SECRET_NAMES

    name, value = found["name"], found["value"]
    if value and (len(value) > LONGEST or SECRET_NAMES.search(name)):
        return f"{name}={SHOWN}"
    return SHOWN if len(name) > LONGEST else found[0]
