"""`bitproof audit` without a reference: recordings, and comparisons with them or with another endpoint."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from bitproof.cli.output import console, say, show
from bitproof.cli.progress import progress
from bitproof.errors import EnvironmentFailed, GateFailed, InconclusiveError, UsageError

if TYPE_CHECKING:
    from bitproof.audit.closed_results import ClosedReport
    from bitproof.audit.comparison import ClosedPlan
    from bitproof.audit.recording import Asking
    from bitproof.engines.http import HttpGenerator

__all__ = ["Endpoint", "compare_endpoints", "compare_recording", "is_address", "make_recording", "same_place"]

AT_ONCE = 4  # requests; the same for recordings and what is compared with them, so that batches are alike


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, for which model, with which environment variable's key."""

    url: str
    model: str | None
    key_env: str | None

    def open(self, workers: int = AT_ONCE) -> HttpGenerator:
        from bitproof.audit.conversation import PATIENCE
        from bitproof.engines.http import HttpGenerator

        return HttpGenerator(self.url, model=self.model, key_env=self.key_env, workers=workers, patience=PATIENCE)


def is_address(text: str) -> bool:
    """Whether --against names an endpoint, and no file."""
    return "://" in text


def same_place(one: str, other: str) -> bool:
    """Whether two addresses are of one server, so that the key of one is for the other's eyes, too."""
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def make_recording(
    endpoint: Endpoint, file: Path, plan: ClosedPlan, asked: Collection[str], output_format: str
) -> None:
    """Record an endpoint, or add to its recording; `asked` are options that say what is asked."""
    from bitproof.audit.closed import default_asking, record
    from bitproof.audit.closed_results import RecordReport
    from bitproof.audit.recording import read_recording, write_recording
    from bitproof.cli.main import this_command
    from bitproof.report.closed_terminal import record_parts

    earlier = read_recording(file) if file.exists() else None
    if earlier and asked:
        raise UsageError(
            f"holds {len(earlier.asking.probes)} questions already, which are asked again: nothing can be changed by"
            f" {' or '.join(sorted(asked))}",
            where=str(file),
            remedy="Leave that out, or give another file.",
        )
    _check_place(file)
    asking = earlier.asking if earlier else plan.asking or default_asking(seed=plan.seed)
    _estimate(asking, "record", plan)
    purse = plan.purse()
    with endpoint.open() as engine, progress("record") as report:
        where, model = engine.client.where, engine.model or endpoint.model or ""
        made = record(engine, plan, endpoint=where, model=model, earlier=earlier, purse=purse, progress=report)
    write_recording(made, file)
    result = RecordReport(
        file=str(file),
        digest=made.digest,
        endpoint=made.endpoint,
        model=made.model,
        sittings=tuple(sitting.began for sitting in made.sittings),
        n_questions=len(made.asking.probes),
        top_logprobs=made.asking.top_logprobs,
        n_requests=purse.n_requests,
        answer_tokens=purse.answer_tokens,
        prompt_tokens=purse.prompt_tokens,
        cost_usd=purse.cost_usd,
        findings=made.findings,
        command=this_command(),
    )
    show(result, output_format, record_parts(result), console())


def compare_recording(endpoint: Endpoint, file: Path, plan: ClosedPlan, out: Path | None, output_format: str) -> None:
    """Ask an endpoint what was recorded, and end with what that shows."""
    from bitproof.audit.closed import compare
    from bitproof.audit.recording import read_recording

    recording = read_recording(file)
    _estimate(recording.asking, "recording", plan)
    with endpoint.open() as engine, progress("audit") as report:
        where, model = engine.client.where, engine.model or endpoint.model or ""
        found = compare(engine, recording, plan, endpoint=where, model=model, progress=report)
    _end(found, out, output_format)


def compare_endpoints(one: Endpoint, other: Endpoint, plan: ClosedPlan, out: Path | None, output_format: str) -> None:
    """Ask two endpoints the same, and end with what that shows of the first."""
    from bitproof.audit import closed

    _estimate(plan.asking or closed.default_asking(seed=plan.seed), "endpoints", plan)
    with one.open(1) as first, other.open(1) as second, progress("audit") as report:
        found = closed.compare_endpoints(
            second,
            first,
            plan,
            endpoints=(second.client.where, first.client.where),
            models=(second.model or other.model or "", first.model or one.model or ""),
            progress=report,
        )
    _end(found, out, output_format)


def _estimate(asking: Asking, job: Literal["record", "recording", "endpoints"], plan: ClosedPlan) -> None:
    """Say what will be asked at most, before it is."""
    from bitproof.audit.closed import most_of

    most = most_of(asking, job)
    money = f", {most.usd(plan.price):.2g} USD" if plan.price else ""
    limits = [f"{plan.max_tokens:,} answer tokens"] if plan.max_tokens else []
    limits += [f"{plan.max_cost_usd:g} USD"] if plan.max_cost_usd else []
    say(
        f"{len(asking.probes)} questions; at most {most.n_requests:,} requests, {most.answer_tokens:,} answer tokens"
        f" and {most.prompt_tokens:,} prompt tokens{money}{'; budget: ' * bool(limits)}{', '.join(limits)}."
    )


def _check_place(file: Path) -> None:
    """Before anything is paid for: can the recording be written? Raises EnvironmentFailed."""
    folder = next(folder for folder in file.absolute().parents if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise EnvironmentFailed("cannot be written to", where=str(folder), remedy="Name another file.")


def _end(found: ClosedReport, out: Path | None, output_format: str) -> None:
    """Write and show a report, and raise what the exit code asks for."""
    from bitproof import __version__
    from bitproof.cli.main import this_command
    from bitproof.report.closed_html import render
    from bitproof.report.closed_terminal import closed_parts
    from bitproof.report.json_ import to_json
    from bitproof.store.files import write_text

    found = replace(found, command=this_command())
    if out:
        write_text(out, render(found, version=__version__) if out.suffix == ".html" else to_json(found))
    target = console()
    show(found, output_format, closed_parts(found, width=target.width), target)
    if found.outcome == "different":
        raise GateFailed("the endpoint answers otherwise")
    if found.outcome == "inconclusive":
        raise InconclusiveError("the audit could not decide")
