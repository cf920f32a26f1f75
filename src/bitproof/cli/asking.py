"""What is asked, how often, and at what cost: options that `bitproof evaluate` and `bitproof compare` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bitproof.cli.options import seed_option
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.evaluate.plan import Plan
    from bitproof.evaluate.runner import Budget

PROFILES = ("demo", "quick", "core", "full")
USES = ("chat", "extraction", "code", "long-context", "agents", "high-stakes")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

OPTIONS = (
    click.option(
        "--profile",
        type=click.Choice(PROFILES),
        default="quick",
        show_default=True,
        help="How much is asked: demo is half a minute a variant on two cores, quick two minutes.",
    ),
    click.option("--slice", "slices", multiple=True, metavar="NAME", help="Ask this slice only; may be repeated."),
    click.option(
        "--items", metavar="FILE", multiple=True, help="Your own items: JSONL, YAML, lm-eval or promptfoo files."
    ),
    click.option(
        "--require",
        multiple=True,
        metavar="WHAT",
        help="What must be shown: code>=-2pp, json>=-1pp, memory_gib<=8; may be repeated.",
    ),
    click.option("--speed", metavar="FILE", help="The speed.json of bitproof bench: decides p95_latency_s<=1.5."),
    click.option("--use", type=click.Choice(USES), help="Requirements for a use, instead of --require."),
    click.option(
        "--looks",
        type=click.IntRange(1, 20),
        default=1,
        show_default=True,
        help="Ask an undecided variant fresh items, up to so many times as many; the risk stays what it was.",
    ),
    click.option("--stop-early", is_flag=True, help="Ask a variant no more once it has decisively failed."),
    click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Requests in flight at a server."),
    click.option("--time", "time_s", type=click.FloatRange(min=1), metavar="SECONDS", help="Most seconds for each."),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens for each, prompts and answers."),
    seed_option,
)


def asking_options(command: Decorated) -> Decorated:
    """The options of this module, in their order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def plan_of(
    *,
    profile: str,
    slices: tuple[str, ...],
    items: tuple[str, ...],
    require: tuple[str, ...],
    use: str | None,
    speed: str | None,
    looks: int,
    stop_early: bool,
    seed: int,
    noise: bool = True,
) -> Plan:
    """The plan that these options describe."""
    from bitproof.evaluate.importers.load import load_items
    from bitproof.evaluate.plain import read_as, read_json
    from bitproof.evaluate.plan import Plan
    from bitproof.evaluate.requirements import USES as REQUIREMENTS
    from bitproof.evaluate.requirements import parse_requirement
    from bitproof.evaluate.speed_results import SpeedReport
    from bitproof.evaluate.suite.build import PROFILES as KNOWN

    if require and use:
        raise UsageError("are two sets of requirements", where="--require and --use", remedy="Give one of them.")
    return Plan(
        profile=KNOWN[profile],
        requirements=tuple(parse_requirement(text) for text in require or REQUIREMENTS.get(use or "", ())),
        slices=slices,
        further=tuple(load_items(*items)) if items else (),
        seed=seed,
        noise=noise,
        speed=None if speed is None else read_as(SpeedReport, read_json(Path(speed)), where=speed),
        looks=looks,
        stop_early=stop_early,
    )


def budget_of(
    time_s: float | None,
    max_tokens: int | None,
    max_cost_usd: float | None = None,
    price: tuple[float, float] | None = None,
) -> Budget:
    """The budget of each subject. Raises UsageError for a limit in money without prices."""
    from bitproof.evaluate.runner import Budget

    if max_cost_usd is not None and price is None:
        raise UsageError(
            "needs the prices of a million prompt tokens and of a million answer tokens",
            where="--max-cost-usd",
            remedy="Add them: --price 0.15 0.60.",
        )
    return Budget(time_s=time_s, tokens=max_tokens, cost_usd=max_cost_usd, usd_per_million=price or (0.0, 0.0))
