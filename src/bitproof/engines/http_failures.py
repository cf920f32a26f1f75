"""What can go wrong with one request over HTTP, in words, and whether it is worth trying again."""

from __future__ import annotations

import html
import json
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx2

from bitproof.errors import BitproofError, EnvironmentFailed, UsageError

__all__ = ["Failure", "from_exception", "from_response", "printable", "told_to_wait_s", "words_of"]

PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# What a server says of a moment, not of the request.
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
BASE_URL = "Give the address that ends before /chat/completions, usually .../v1."


class Failure(Exception):
    """One attempt that failed.

    `again` says whether the same request can succeed later, `wait_s` what the server asked to wait, `attempts` how
    many are worth making where that is fewer than usual. `ends` says when it is the whole run that fails: "always", or
    "at first", before the endpoint has answered anything; `kind` is then the error.
    """

    def __init__(
        self,
        why: str,
        *,
        again: bool = True,
        wait_s: float | None = None,
        limited: bool = False,
        attempts: int | None = None,
        reached: bool = True,
        ends: Literal["never", "at first", "always"] = "never",
        kind: type[BitproofError] = EnvironmentFailed,
        remedy: str = "",
    ) -> None:
        super().__init__(why)
        self.why, self.again, self.wait_s, self.limited = why, again, wait_s, limited
        self.attempts, self.reached = attempts, reached
        self.ends, self.kind, self.remedy = ends, kind, remedy
        self.refuses_key = False


def from_exception(error: Exception, seconds: float) -> Failure:
    """The failure behind an exception of the HTTP client; `seconds` is how long the attempt had taken."""
    words = str(error) or type(error).__name__
    if isinstance(error, httpx2.ConnectTimeout | httpx2.ConnectError):
        if isinstance(error.__cause__, ssl.SSLError) or "CERTIFICATE" in words.upper():
            return Failure(
                f"its certificate cannot be verified ({words})",
                again=False,
                ends="always",
                remedy="If its authority is your own, name its file in SSL_CERT_FILE.",
            )
        remedy = "Check the address, and that the server runs."
        return Failure(f"nothing answers there ({words})", reached=False, remedy=remedy)
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Failure(f"no answer within {seconds:.0f} s", attempts=2, remedy="Raise the timeout, or ask for less.")
    if isinstance(error, httpx2.SSEError):
        return Failure(f"its stream cannot be read ({words})")
    return Failure(f"the connection was cut ({words})")


def from_response(status: int, headers: Mapping[str, str], text: str) -> Failure:
    """The failure that a response with an error status, or one that is not JSON, stands for."""
    page = _is_page(headers, text)
    said = f"HTTP {status}: {words_of(text)}" if text.strip() else f"HTTP {status}"
    if page:
        said = f"it answers with a web page instead of JSON ({said})"
    if status in PASSING:
        return _passing(status, headers, text, said)
    if status == 401:
        failure = Failure(f"it refuses the key ({said})", again=False, ends="always", kind=UsageError)
        failure.refuses_key = True
        return failure
    if status == 402:
        return Failure(said, again=False, ends="always", remedy="Its account needs credit.")
    if 300 <= status < 400:
        place = printable(headers.get("location", "").partition("?")[0], 300)
        return Failure(f"it redirects to {place or 'another address'}", again=False, ends="at first", kind=UsageError)
    if status in (403, 404, 405) or page:
        return Failure(said, again=page and status < 400, ends="at first", kind=UsageError, remedy=BASE_URL)
    if status < 300:
        return Failure(f"its answer is not JSON ({len(text)} characters, which begin {text[:40]!r})")
    return Failure(said, again=False)


def _passing(status: int, headers: Mapping[str, str], text: str, said: str) -> Failure:
    if status == 429 and "insufficient_quota" in text:
        return Failure(said, again=False, ends="always", remedy="Its account needs credit.")
    return Failure(said, wait_s=told_to_wait_s(headers), limited=status in (429, 529))


def told_to_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait, by Retry-After (RFC 9110, section 10.2.3) or the x-ratelimit headers."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    after = headers.get("retry-after")
    if after is not None:
        return _number(after) if _number(after) is not None else _until(after)
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}") == "0":
            return _duration(headers.get(f"x-ratelimit-reset-{what}"))
        if headers.get(f"anthropic-ratelimit-{what}-remaining") == "0":
            return _until(headers.get(f"anthropic-ratelimit-{what}-reset"))
    return None


def _number(text: str | None) -> float | None:
    """A finite number of at least 0, else None."""
    return float(text) if text is not None and re.fullmatch(r"\s*\d{1,9}(\.\d{0,9})?\s*", text) else None


def _duration(text: str | None) -> float | None:
    """Seconds of "1m30s", "250ms" or "2"."""
    parts = PART.findall(text or "")
    return sum(float(amount) * UNIT_S[unit] for amount, unit in parts) if parts else _number(text)


def _until(text: str | None) -> float | None:
    """Seconds until a date as HTTP or RFC 3339 writes it; None where it is neither."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text or "")
        except ValueError:
            continue
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    return None


def _is_page(headers: Mapping[str, str], text: str) -> bool:
    return "html" in headers.get("content-type", "") or text.lstrip()[:15].lower().startswith(("<!doctype", "<html"))


def words_of(text: str, limit: int = 300) -> str:
    """What a response's body says, in one line: the message of a JSON error, the title of a page, or its beginning."""
    title = re.search(r"<title[^>]*>(.*?)</title>", text[:10_000], re.IGNORECASE | re.DOTALL)
    said: Any = html.unescape(title[1]) if title else text[:10_000]
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if isinstance(record, dict):
        inner = record.get("error", record)
        found = [inner.get(key) for key in ("message", "detail", "error")] if isinstance(inner, dict) else [inner]
        said = next((part for part in found if part), said)
    return printable(str(said), limit)


def printable(text: str, limit: int = 100) -> str:
    """A text of a server's in one line that no terminal obeys, cut at `limit`."""
    line = " ".join(text.split())
    line = line if len(line) <= limit else f"{line[:limit]}..."
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)
