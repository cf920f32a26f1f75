"""What is said of an endpoint's precision, and by whom.

Sources, the ones that count first: a claims file and the endpoints file (what the user read somewhere), OpenRouter's
list of endpoints, the model's name. What the model says of itself is recorded and never counts: it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bitproof.audit.provider_endpoints import Endpoint, nearest, read_mapping
from bitproof.engines.generation import Completion, Generator, Request
from bitproof.errors import UsageError
from bitproof.types import Message

__all__ = ["Claim", "Precision", "ask_it", "claims_of", "listed", "precision_in"]

Precision = Literal["int4", "int8", "fp4", "fp6", "fp8", "fp16", "bf16", "fp32", "unknown"]
SAID = {
    "int4": r"int4|w4a16|w4a8|nf4|q4_[0-9k](_[msl])?|4-?bits?",
    "int8": r"int8|w8a8|w8a16|q8_0|8-?bits?",
    "fp4": r"nvfp4|mxfp4|fp4",
    "fp6": r"fp6",
    "fp8": r"fp8|float8|e4m3(fn)?|mxfp8",
    "fp16": r"fp16|float16|f16",
    "bf16": r"bf16|bfloat16|brain float 16",
    "fp32": r"fp32|float32|f32",
}
PATTERNS = {name: re.compile(rf"(?<![a-z0-9])({pattern})(?![a-z0-9])") for name, pattern in SAID.items()}
QUESTION = (
    "At which numerical precision are your weights being served right now: bf16, fp8, int8, int4 or another? Answer in"
    " a few words."
)
LONGEST = 300  # characters of a claim that are kept


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What somebody says: `precision` as far as the words name one, `counts` False for what is recorded only."""

    precision: Precision
    source: str
    words: str
    counts: bool = True


def precision_in(text: str) -> Precision:
    """The one precision that a text names; "unknown" where it names none, or more than one."""
    found = [name for name, pattern in PATTERNS.items() if pattern.search(text.lower()[:LONGEST])]
    return found[0] if len(found) == 1 else "unknown"  # type: ignore[return-value]


def claims_of(endpoints: Sequence[Endpoint], file: Path | None) -> dict[str, list[Claim]]:
    """What the files and the models' names say, by the endpoint's name.

    A claims file is `name: fp8` or `name: {precision: fp8, source: "their page, 2026-11-01"}`. Raises UsageError for a
    name that no endpoint has.
    """
    found: dict[str, list[Claim]] = {one.name: [] for one in endpoints}
    for name, said in (read_mapping(file) if file else {}).items():
        if name not in found:
            raise UsageError(f"no endpoint is called {name!r}", where=str(file), remedy=nearest(name, found))
        source = str(file)
        if isinstance(said, dict) and set(said) <= {"precision", "source"}:
            source, said = str(said.get("source", source)), said.get("precision")
        if not isinstance(said, str):
            raise UsageError(
                f"the claim of {name!r} is {str(said)[:60]!r}", where=str(file), remedy=f"Write `{name}: fp8`."
            )
        found[name].append(_claim(said, source))
    for one in endpoints:
        if one.claimed:
            found[one.name].append(_claim(one.claimed, "the endpoints file"))
        if (named := precision_in(one.model)) != "unknown":
            found[one.name].append(Claim(precision=named, source="its name of the model", words=one.model))
    return found


def listed(endpoint: Endpoint, record: Any) -> tuple[list[Claim], tuple[float, float] | None]:
    """What OpenRouter's `GET /models/MODEL/endpoints` says of the pinned provider: its precision and its prices.

    Prices are in US dollars for a million prompt and answer tokens. Of several endpoints behind one pin, each precision
    is a claim, and there is a price only if all have the same.
    """
    data = record.get("data") if isinstance(record, dict) else None
    entries = data.get("endpoints") if isinstance(data, dict) else None
    pin = endpoint.provider.lower()
    claims, prices = [], []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        tag, owner = (str(entry.get(key, "")).lower() for key in ("tag", "provider_name"))
        if pin and pin not in (tag, owner, tag.partition("/")[0]):
            continue
        claims.append(_claim(str(entry.get("quantization") or "unknown"), f"OpenRouter's list, {tag or owner}"))
        prices.append(_price(entry.get("pricing")))
    claims = list({(one.precision, one.source): one for one in claims}.values())
    return claims, prices[0] if prices and len(set(prices)) == 1 else None


def ask_it(engine: Generator) -> Claim:
    """What the model says of itself; asked last, so that nothing gives the audit away."""
    answers: list[Completion] = []
    question = Request(key="claim", messages=(Message(role="user", content=QUESTION),), max_tokens=60)
    engine.generate([question], answers.append)
    words = " ".join(answers[0].text.split())[:LONGEST] if answers else ""
    if answers and answers[0].finish == "error":
        words = f"(no answer: {answers[0].error})"[:LONGEST]
    return Claim(precision=precision_in(words), source="the model, asked", words=words, counts=False)


def _claim(words: str, source: str) -> Claim:
    return Claim(precision=precision_in(words), source=source[:LONGEST], words=words[:LONGEST])


def _price(record: Any) -> tuple[float, float] | None:
    """OpenRouter's price of one token, in text, for a million."""
    try:
        found = tuple(round(1e6 * float(record[key]), 6) for key in ("prompt", "completion"))
    except (KeyError, TypeError, ValueError):
        return None
    return (found[0], found[1]) if all(0 <= one < 1e6 for one in found) else None
