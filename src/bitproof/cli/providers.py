"""`bitproof providers`: several endpoints of one model side by side."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitproof.cli.audit import TESTS
from bitproof.cli.options import format_option, seed_option
from bitproof.cli.output import console, say, show
from bitproof.cli.progress import progress
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.audit.provider_endpoints import Endpoints
    from bitproof.audit.provider_money import Costing
    from bitproof.audit.provider_quality import LocalReference, SuitePlan
    from bitproof.audit.provider_results import ProvidersReport
    from bitproof.audit.providers import ProvidersPlan

file = click.Path(dir_okay=False)


@click.command()
@click.argument("endpoints", type=file, metavar="FILE")
@click.option("--reference", metavar="NAME", help="A reference whose profile comes with bitproof: smollm2-135m.")
@click.option("--profile", "profile_file", metavar="FILE", help="Made by bitproof profile; without one, no audit.")
@click.option(
    "--suite",
    metavar="PROFILE[:SLICE,...]",
    help="Ask these items of `bitproof evaluate` too: quick, core:code, demo:json,tools.",
)
@click.option("--items", metavar="FILE", multiple=True, help="Your own items, as `bitproof evaluate` takes them.")
@click.option("--model", metavar="MODEL", help="The reference itself, run here: what quality is measured against.")
@click.option("--claims", type=file, metavar="FILE", help="What providers state elsewhere: NAME: fp8, one a line.")
@click.option("--test", type=click.Choice(TESTS), default="auto", show_default=True, help="As of bitproof audit.")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="The chance of calling any benign endpoint inconsistent, over all of them.",
)
@click.option("--top-logprobs", type=click.IntRange(1, 20), default=20, show_default=True, help="Alternatives a token.")
@click.option("--max-tokens", type=click.IntRange(min=5), help="Most tokens of answers to an audit, of each endpoint.")
@click.option("--max-suite-tokens", type=click.IntRange(min=1), help="Most tokens for the suite, of each endpoint.")
@click.option(
    "--max-cost-usd",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="Most money for the suite, at each endpoint.",
)
@click.option(
    "--at-once", type=click.IntRange(1, 100), default=4, show_default=True, help="Requests in flight, one an endpoint."
)
@click.option(
    "--on", "device", default="h100-sxm", show_default=True, help="Accelerator that margins are worked out on."
)
@click.option("--catalogue", type=file, metavar="FILE", help="As of bitproof cost.")
@click.option("--out", default="providers", show_default=True, help="Folder for answers, report.html and report.json.")
@seed_option
@format_option
def providers(
    endpoints: str,
    reference: str | None,
    profile_file: str | None,
    suite: str | None,
    items: tuple[str, ...],
    model: str | None,
    claims: str | None,
    test: str,
    alpha: float,
    top_logprobs: int,
    max_tokens: int | None,
    max_suite_tokens: int | None,
    max_cost_usd: float | None,
    at_once: int,
    device: str,
    catalogue: str | None,
    out: str,
    seed: int,
    output_format: str,
) -> None:
    """Compare providers of one model, side by side.

    FILE lists endpoints, in YAML or JSON. All are audited against a profile with the same probes, interleaved in random
    order, and asked the same items; prices, margins and what they disclose stand beside what was measured. Exit codes:
    0, all consistent; 10, one is inconsistent; 11, one is inconclusive; 12, one cannot be asked.
    """
    from bitproof.audit.plan import AuditPlan
    from bitproof.audit.profile import find_profile
    from bitproof.audit.provider_endpoints import read_endpoints
    from bitproof.audit.providers import ProvidersPlan
    from bitproof.audit.providers import providers as run
    from bitproof.cli.main import this_command
    from bitproof.report.providers_terminal import providers_parts

    found = read_endpoints(Path(endpoints))
    audited = profile_file is not None or reference is not None
    profile = find_profile(Path(profile_file) if profile_file else None, reference) if audited else None
    if not audited and suite is None and not items:
        raise UsageError(
            "there is nothing to ask", remedy="Give --profile FILE for audits, --suite core:code for quality, or both."
        )
    kind = None if test == "auto" else test
    plan = ProvidersPlan(
        audit=AuditPlan(alpha=alpha, test=kind, top=top_logprobs, max_tokens=max_tokens, seed=seed),  # type: ignore[arg-type]
        suite=_suite(suite, items, seed),
        at_once=at_once,
        max_tokens=max_suite_tokens,
        max_cost_usd=max_cost_usd,
    )
    costing = _costing(found, device, catalogue)
    _estimate(found, plan, audited)
    with progress("providers") as report:
        result = run(
            found,
            plan,
            costing,
            profile=profile,
            out=Path(out),
            claims=Path(claims) if claims else None,
            local=_local(model) if model else None,
            progress=report,
        )
    result = replace(result, command=this_command())
    target = console()
    show(result, output_format, providers_parts(result, width=target.width), target)
    _write(result, Path(out))
    _end(result)


def _suite(text: str | None, items: tuple[str, ...], seed: int) -> SuitePlan | None:
    """`core:code,json` and own items as a plan; None where neither is given."""
    from bitproof.audit.provider_endpoints import nearest
    from bitproof.audit.provider_quality import SuitePlan
    from bitproof.evaluate.importers.load import load_items
    from bitproof.evaluate.suite.build import PROFILES
    from bitproof.evaluate.suite.registry import find_slice

    further = tuple(load_items(*items)) if items else ()
    if text is None:
        return SuitePlan(profile=None, further=further, seed=seed) if items else None
    name, _, names = text.partition(":")
    if name not in PROFILES:
        raise UsageError(f"there is no profile {name!r}", where="--suite", remedy=nearest(name, PROFILES))
    slices = tuple(part.strip() for part in names.split(",") if part.strip())
    for one in slices:
        find_slice(one)
    return SuitePlan(profile=PROFILES[name], slices=slices, further=further, seed=seed)


def _costing(endpoints: Endpoints, device: str, catalogue: str | None) -> Costing:
    from bitproof.audit.provider_money import Costing
    from bitproof.evaluate.cost_catalogue import find, read_catalogue
    from bitproof.evaluate.cost_results import Terms

    known = read_catalogue(Path(catalogue) if catalogue else None)
    if endpoints.shape:
        find(known.models, endpoints.shape, "model")
    machine = find(known.accelerators, device, "accelerator")
    return Costing(shape=endpoints.shape, device=machine, catalogue=known, terms=Terms())


def _local(model: str) -> LocalReference:
    from bitproof.audit.provider_quality import LocalReference
    from bitproof.engines.emulated import EmulatedGenerator
    from bitproof.models import load

    found = load(model)
    return LocalReference(
        name=found.name, digest=found.digest, tokenizer=found.tokenizer, open=lambda: EmulatedGenerator(found)
    )


def _estimate(endpoints: Endpoints, plan: ProvidersPlan, audited: bool) -> None:
    """Say what will be asked at most, before it is."""
    from bitproof.audit.plan import BUDGETS

    n = len(endpoints.endpoints)
    parts = []
    if audited:
        best, text = (plan.audit.max_tokens or BUDGETS[name] for name in ("top-logprobs", "text"))
        known = plan.audit.max_tokens or (BUDGETS[plan.audit.test] if plan.audit.test else None)
        parts.append(f"an audit of at most {known or best:,} answer tokens" + ("" if known else f" ({text:,} of text)"))
    if plan.suite is not None:
        limit = f", at most {plan.max_tokens:,} tokens" if plan.max_tokens else ""
        money = f", at most {plan.max_cost_usd:g} USD" if plan.max_cost_usd else ""
        profile, own = plan.suite.profile, len(plan.suite.further)
        asked = [f"suite {profile.name}, {profile.items} items a slice"] if profile else []
        parts.append(f"{' and '.join([*asked, *([f'{own} items of your own'] if own else [])])}{limit}{money}")
    say(f"{n} endpoint{'s' * (n != 1)}; each: {'; '.join(parts)}.")


def _write(result: ProvidersReport, out: Path) -> None:
    """The data, the page, and a page of each audit that it leads to."""
    from bitproof import __version__
    from bitproof.report.audit_html import render as render_audit
    from bitproof.report.json_ import to_json
    from bitproof.report.providers_html import render
    from bitproof.store.files import write_text

    audits = {}
    for number, one in enumerate(result.providers, 1):
        if one.audit is not None:
            audits[one.name] = f"audits/{number:02}-{re.sub('[^A-Za-z0-9._-]+', '-', one.name)}.html"
            page = render_audit(replace(one.audit, command=result.command), version=__version__)
            write_text(out / audits[one.name], page)
    write_text(out / "report.json", to_json(result))
    write_text(out / "report.html", render(result, version=__version__, audits=audits))
    say(f"Report: {out / 'report.html'}")


def _end(result: ProvidersReport) -> None:
    """Raise what the exit code asks for."""
    from bitproof.errors import EnvironmentFailed, GateFailed, InconclusiveError

    def named(outcome: str) -> str:
        return ", ".join(one.name for one in result.providers if one.outcome == outcome)

    if named("inconsistent"):
        raise GateFailed(f"inconsistent with the reference: {named('inconsistent')}")
    if named("inconclusive"):
        raise InconclusiveError(f"could not be decided: {named('inconclusive')}")
    if named("unreachable"):
        raise EnvironmentFailed(f"could not be asked: {named('unreachable')}")
