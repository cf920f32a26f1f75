"""`bitproof bench`: speed, end to end, in the engine that serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitproof.cli.options import format_option, seed_option
from bitproof.cli.output import console, say, show
from bitproof.cli.progress import progress
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.evaluate.speed import SpeedPlan
    from bitproof.evaluate.speed_results import SpeedReport

positive = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--rate", "rates", type=positive, multiple=True, metavar="R", help="Requests per second. Repeatable.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), multiple=True, metavar="N", help="Users who wait for answers."
)
@click.option(
    "--requests", "n_requests", type=click.IntRange(min=2), default=100, show_default=True, help="Of each load."
)
@click.option("--prompt-tokens", type=int, default=128, show_default=True, help="Mean length of a prompt.")
@click.option("--answer-tokens", type=int, default=32, show_default=True, help="Mean length of an answer.")
@click.option(
    "--schema", type=click.Path(dir_okay=False), metavar="FILE", help="JSON schema to guide and check answers."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "llamacpp", "vllm"]),
    default="auto",
    help="For folders: the one that loads what is there.",
)
@click.option("--slots", type=click.IntRange(min=1), default=4, show_default=True, help="Requests served at a time.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of an engine of ours.")
@click.option("--vllm-mode", type=click.Choice(["eager", "compiled", "both"]), default="eager", show_default=True)
@click.option("--draft", type=click.Path(), metavar="ARTIFACT", help="Measure with this draft model, too (llama.cpp).")
@click.option("--guided", is_flag=True, help="Ask the JSON slices with and without guiding, in place of loads.")
@click.option("--model", metavar="NAME", help="The model's name, for a URL that offers several.")
@click.option("--key-env", metavar="VARIABLE", help="Environment variable with the URL's key.")
@click.option("--time", "time_s", type=positive, metavar="S", help="Stop each target after this many seconds.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Stop each target after this many tokens.")
@click.option(
    "--out", type=click.Path(file_okay=False), metavar="FOLDER", help="Write report.html and speed.json here."
)
@seed_option
@format_option
def bench(
    targets: tuple[str, ...],
    vllm_mode: str,
    engine: str,
    draft: str | None,
    out: str | None,
    output_format: str,
    **given: Any,
) -> None:
    """Measure speed under load, in the engine that serves.

    Shows the time to the first token, between tokens and of whole answers, tokens per second, memory and stages. A
    TARGET is an artifact's folder, a GGUF file or a model's folder, which llama.cpp or vLLM then serve on this
    machine, or the URL of an OpenAI-compatible server. Every target gets the same prompts at the same times. Without
    --rate and --concurrency the server is first kept full, then gets 25, 50 and 80 % of what the first target could do.
    With --guided, --requests is the number of items of each slice; give a --rate or --concurrency to have loads, too.
    """
    from bitproof.cli.main import this_command
    from bitproof.evaluate.speed import bench as measure
    from bitproof.evaluate.speed_targets import targets_of
    from bitproof.report.speed_terminal import speed_parts

    modes = ("eager", "compiled") if vllm_mode == "both" else (vllm_mode,)
    drafting = Path(draft) if draft else None
    found = [row for where in targets for row in targets_of(where, engine=engine, modes=modes, draft=drafting)]  # type: ignore[arg-type]
    if drafting and not any(row.draft for row in found):
        raise UsageError("is of no use: no target is served by llama.cpp", where="--draft", remedy="Leave it out.")
    with progress("bench") as report:
        result = measure(found, _plan(**given), announce=say, progress=report, command=this_command())
    target = console()
    show(result, output_format, speed_parts(result, width=target.width), target)
    if out is not None:
        _write(result, Path(out))


def _write(result: SpeedReport, folder: Path) -> None:
    """speed.json and a page; in the folder of an evaluation, its page with the speed in it."""
    from bitproof import __version__
    from bitproof.report import evaluation_html, speed_html
    from bitproof.report.forms import read_finished
    from bitproof.report.json_ import to_json
    from bitproof.store.files import write_text

    page = speed_html.render(result, version=__version__)
    if (folder / "evaluation.json").is_file():
        run = read_finished(folder)
        assert run.evaluation is not None
        page = evaluation_html.render(run.evaluation, ladder=run.ladder, version=__version__, speed=result)
    for name, text in (("speed.json", to_json(result)), ("report.html", page)):
        write_text(folder / name, text)
    say(f"Report: {folder / 'report.html'}")


def _plan(
    *,
    rates: tuple[float, ...],
    concurrency: tuple[int, ...],
    n_requests: int,
    prompt_tokens: int,
    answer_tokens: int,
    schema: str | None,
    guided: bool,
    slots: int,
    threads: int,
    model: str | None,
    key_env: str | None,
    time_s: float | None,
    max_tokens: int | None,
    seed: int,
) -> SpeedPlan:
    from bitproof.evaluate.runner import Budget
    from bitproof.evaluate.speed import SpeedPlan
    from bitproof.evaluate.speed_schedule import Workload
    from bitproof.evaluate.speed_targets import Serving

    return SpeedPlan(
        workload=Workload(prompt_tokens=prompt_tokens, answer_tokens=answer_tokens, schema=_schema(schema), seed=seed),
        rates_per_s=rates,
        concurrencies=concurrency,
        n_requests=n_requests,
        guided=guided,
        serving=Serving(
            slots=slots,
            threads=threads,
            context_tokens=max(2048, 2 * (prompt_tokens + answer_tokens) + 64),
            model=model,
            key_env=key_env,
        ),
        budget=Budget(time_s=time_s, tokens=max_tokens),
    )


def _schema(path: str | None) -> dict[str, Any] | None:
    """A JSON schema from a file. Raises UsageError where it holds none."""
    import json

    if path is None:
        return None
    try:
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=path, remedy="Give a file.") from error
    except ValueError as error:
        raise UsageError(f"is not JSON ({error})", where=path, remedy="Give a JSON schema.") from error
    if not isinstance(schema, dict):
        raise UsageError("is not a JSON object", where=path, remedy="Give a JSON schema.")
    return schema
