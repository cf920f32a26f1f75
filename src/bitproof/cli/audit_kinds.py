"""Which kind of audit the options of `bitproof audit` ask for, and which options say nothing in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bitproof.cli.closed import is_address
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.audit.purse import Price

__all__ = ["check_meaning", "kind_of", "options_asked", "price_of"]

KINDS = {"--reference": "reference", "--profile": "reference", "--record": "record", "--against": "against"}
# What an option that says nothing in every kind of audit is for.
MEANINGS = {
    "--test": {"reference"},
    "--top-logprobs": {"reference", "record", "an endpoint"},
    "--probes": {"record", "an endpoint"},
    "--against-model": {"an endpoint"},
    "--against-key-env": {"an endpoint"},
    "--out": {"reference", "a file", "an endpoint"},
}
WORDS = {
    "reference": "an audit with a reference",
    "record": "--record",
    "a file": "--against a recording, which says what is asked",
    "an endpoint": "--against another endpoint",
}


def options_asked(ctx: click.Context) -> set[str]:
    """The options that stand on the command line; those of bitproof.yaml are there for whom they fit."""
    return {
        max(parameter.opts, key=len)
        for parameter in ctx.command.params
        if parameter.name and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }


def kind_of(asked: Collection[str], given: dict[str, Any]) -> str:
    """Which kind of audit it is: a key of `WORDS`."""
    said = [option for option in KINDS if option in asked]
    if len({KINDS[option] for option in said}) > 1:
        raise UsageError(
            f"{' and '.join(said)} are different audits",
            remedy="Compare with a reference (--reference or --profile), make a recording (--record), or compare with"
            " one or with another endpoint (--against).",
        )
    kept = {"record": given["record"], "against": given["against"], "reference": True}
    kind = KINDS[said[0]] if said else next(name for name, value in kept.items() if value)
    if kind == "against":
        return "an endpoint" if is_address(given["against"]) else "a file"
    if kind == "reference" and not (given["reference"] or given["profile_file"]):
        raise UsageError(
            "there is nothing to compare with",
            remedy="Give --reference NAME or --profile FILE; of a closed model --record FILE now and --against FILE"
            " later, or --against URL.",
        )
    return kind


def check_meaning(asked: Iterable[str], kind: str) -> None:
    """Raise UsageError for options that say nothing in this kind of audit."""
    idle = [option for option in sorted(asked) if kind not in MEANINGS.get(option, {kind})]
    if idle:
        instead = " A recording is its own report: see --format json." if idle == ["--out"] else ""
        raise UsageError(
            f"nothing is meant by {' and '.join(idle)} with {WORDS[kind]}", remedy=f"Leave it out.{instead}"
        )


def price_of(price_in: float | None, price_out: float | None, max_cost_usd: float | None) -> Price | None:
    """The prices given, if any; raises UsageError for one alone, and for a budget in dollars without them."""
    if (price_in is None) != (price_out is None):
        missing, there = ("--price-in", "--price-out")[:: 1 if price_in is None else -1]
        raise UsageError(f"is missing beside {there}", where=missing, remedy="Give both prices; 0 where it is free.")
    if price_in is None or price_out is None:
        if max_cost_usd is not None:
            raise UsageError(
                "needs the prices of a million prompt tokens and of a million answer tokens",
                where="--max-cost-usd",
                remedy="Add them: --price-in 0.15 --price-out 0.60.",
            )
        return None
    return price_in, price_out
