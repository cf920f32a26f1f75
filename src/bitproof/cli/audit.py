"""`bitproof audit`: which precision an endpoint serves, or whether it answers as it did."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitproof.cli.audit_kinds import check_meaning, kind_of, options_asked, price_of
from bitproof.cli.options import format_option, seed_option
from bitproof.cli.output import console, say, show
from bitproof.cli.progress import progress
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.audit.plan import AuditPlan
    from bitproof.audit.profile import Profile
    from bitproof.audit.purse import Price
    from bitproof.audit.results import AuditReport
    from bitproof.cli.closed import Endpoint

FORMS = (".html", ".json")
TESTS = ("auto", "prompt-logprobs", "top-logprobs", "logprob", "text", "seeded", "sampled")
QUESTIONS = 40

usd = click.FloatRange(min=0)


@click.command()
@click.argument("url")
@click.option("--reference", metavar="NAME", help="A reference whose profile comes with bitproof: smollm2-135m.")
@click.option("--profile", "profile_file", metavar="FILE", help="Made by bitproof profile.")
@click.option("--record", metavar="FILE", help="Without a reference: write down what it answers now, or add to that.")
@click.option("--against", metavar="FILE|URL", help="Without a reference: compare with a recording, or an endpoint.")
@click.option("--model", metavar="NAME", help="The model's name at the endpoint, where it offers several.")
@click.option("--key-env", metavar="NAME", help="The environment variable that holds the endpoint's key.")
@click.option("--against-model", metavar="NAME", help="The model's name at the other endpoint, if it is another.")
@click.option("--against-key-env", metavar="NAME", help="The same for its key, which another host gets only so.")
@click.option(
    "--test",
    type=click.Choice(TESTS),
    default="auto",
    show_default=True,
    help="What to rely on: the best that the endpoint allows, or this. `sampled` is text at temperature 1.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="The chance of calling a benign endpoint inconsistent, on engines like those of the profile; without a"
    " reference, of calling one different that answers as it did.",
)
@click.option("--top-logprobs", type=click.IntRange(1, 20), default=20, show_default=True, help="Alternatives a token.")
@click.option(
    "--probes",
    type=click.IntRange(4, 1000),
    default=QUESTIONS,
    show_default=True,
    help="Questions, without a reference.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=5),
    help="Most tokens of answers. [default: 60 with top logprobs, 200 with one, 2000 of text, 5000 sampled; without a"
    " reference what is said first]",
)
@click.option("--max-cost-usd", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="Most money.")
@click.option("--price-in", type=usd, metavar="USD", help="Price of a million prompt tokens.")
@click.option("--price-out", type=usd, metavar="USD", help="Price of a million answer tokens.")
@click.option("--out", metavar="FILE", help="Write the report here: FILE.html or FILE.json.")
@seed_option
@format_option
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    url: str,
    model: str | None,
    key_env: str | None,
    out: str | None,
    output_format: str,
    **given: Any,
) -> None:
    """Say which precision an endpoint serves.

    It takes the logprobs of a few tokens, or some hundred tokens of text. URL is that of an OpenAI-compatible API, such
    as https://host/v1. Of a closed model there is no reference: --record what it answers, and compare --against that
    later, or --against another endpoint. Exit codes: 0, consistent, or recorded; 10, inconsistent, or different; 11,
    inconclusive; 12, the endpoint cannot be reached.
    """
    from bitproof.cli.closed import Endpoint

    if out and Path(out).suffix not in FORMS:
        raise UsageError(f"{out} says no form", where="--out", remedy="End its name in .html or in .json.")
    asked = options_asked(ctx)
    kind = kind_of(asked, given)
    check_meaning(asked, kind)
    price = price_of(given["price_in"], given["price_out"], given["max_cost_usd"])
    endpoint, report = Endpoint(url, model, key_env), Path(out) if out else None
    if kind == "reference":
        _with_reference(endpoint, given, price, report, output_format)
    else:
        _without_reference(endpoint, kind, given, price, report, output_format, asked)


def _with_reference(
    endpoint: Endpoint, given: dict[str, Any], price: Price | None, out: Path | None, output_format: str
) -> None:
    from bitproof.audit.audit import audit as run
    from bitproof.audit.plan import AuditPlan
    from bitproof.audit.profile import find_profile
    from bitproof.cli.main import this_command
    from bitproof.errors import GateFailed, InconclusiveError
    from bitproof.report.audit_terminal import audit_parts

    profile = find_profile(Path(given["profile_file"]) if given["profile_file"] else None, given["reference"])
    plan = AuditPlan(
        alpha=given["alpha"],
        test=None if given["test"] == "auto" else given["test"],
        top=given["top_logprobs"],
        max_tokens=given["max_tokens"],
        seed=given["seed"],
        max_cost_usd=given["max_cost_usd"],
        price=price,
    )
    _estimate(profile, plan)
    with endpoint.open(1) as engine, progress("audit") as report:
        where, model = engine.client.where, engine.model or endpoint.model or ""
        found = run(engine, profile, plan, endpoint=where, model=model, progress=report)
    found = replace(found, command=this_command())
    if out:
        _write(found, out)
    target = console()
    show(found, output_format, audit_parts(found, width=target.width), target)
    if found.outcome == "inconsistent":
        raise GateFailed("the endpoint does not serve the reference")
    if found.outcome == "inconclusive":
        raise InconclusiveError("the audit could not decide")


def _without_reference(
    endpoint: Endpoint,
    kind: str,
    given: dict[str, Any],
    price: Price | None,
    out: Path | None,
    output_format: str,
    asked: Collection[str],
) -> None:
    from bitproof.audit.closed import ClosedPlan, default_asking
    from bitproof.cli.closed import Endpoint, compare_endpoints, compare_recording, make_recording, same_place

    plan = ClosedPlan(
        asking=default_asking(given["probes"], seed=given["seed"], top_logprobs=given["top_logprobs"]),
        alpha=given["alpha"],
        max_tokens=given["max_tokens"],
        seed=given["seed"],
        max_cost_usd=given["max_cost_usd"],
        price=price,
    )
    if kind == "record":
        fixed = {"--probes", "--top-logprobs"} & set(asked)
        make_recording(endpoint, Path(given["record"]), plan, fixed, output_format)
    elif kind == "a file":
        compare_recording(endpoint, Path(given["against"]), plan, out, output_format)
    else:
        address = given["against"]
        key_env = given["against_key_env"] or (endpoint.key_env if same_place(address, endpoint.url) else None)
        other = Endpoint(address, given["against_model"] or endpoint.model, key_env)
        compare_endpoints(endpoint, other, plan, out, output_format)


def _estimate(profile: Profile, plan: AuditPlan) -> None:
    """Say what will be asked at most, before it is."""
    from bitproof.audit.plan import BUDGETS, DRAWN
    from bitproof.audit.purse import Bill

    said = []
    for kind in (plan.test,) if plan.test else ("top-logprobs", "text"):
        answers = plan.max_tokens or BUDGETS[kind]
        n = answers if kind in DRAWN else min(answers, 2 * len(profile.probes))  # each may be asked again
        most = Bill(n, n * (max(profile.prompt_tokens) + profile.path.shape[1]), answers)  # a prompt may hold an answer
        money = f", {most.usd(plan.price):.2g} USD" if plan.price else ""
        said.append(f"{most.answer_tokens:,} answer tokens and {most.prompt_tokens:,} prompt tokens{money}")
    budget = f"; budget: {plan.max_cost_usd:g} USD" if plan.max_cost_usd else ""
    say(f"At most {'; of text, without logprobs, '.join(said)}{budget}.")


def _write(found: AuditReport, path: Path) -> None:
    """The report as a page or as JSON, as the name of `path` says."""
    from bitproof import __version__
    from bitproof.report.json_ import to_json
    from bitproof.store.files import write_text

    if path.suffix == ".html":
        from bitproof.report.audit_html import render

        write_text(path, render(found, version=__version__))
    else:
        write_text(path, to_json(found))
