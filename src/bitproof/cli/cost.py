"""`bitproof cost`: memory, speed, energy and money of models in their precisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitproof.cli.options import format_option
from bitproof.cli.output import console, show
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.evaluate.cost_results import Figure

share = click.FloatRange(min=0, max=1, min_open=True)
positive = click.FloatRange(min=0, min_open=True)
count = click.IntRange(min=1)
DEVICES = ("h100-sxm", "l4", "epyc-9654")


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--on", "devices", multiple=True, default=DEVICES, show_default=True, help="Accelerator. Repeatable.")
@click.option("--context", type=count, default=4096, show_default=True, help="Tokens kept for each user.")
@click.option("--users", type=count, default=16, show_default=True, help="At a time; fewer where no more fit.")
@click.option("--prompt-tokens", type=count, default=1024, show_default=True, help="Of a request.")
@click.option("--answer-tokens", type=count, default=256, show_default=True, help="Of a request.")
@click.option("--kv", metavar="FORMAT", help="KV cache: bf16, fp8, int8 or int4, in place of the variant's own.")
@click.option("--efficiency", type=share, default=1.0, show_default=True, help="Share of the roofline.")
@click.option("--usable", type=share, default=0.9, show_default=True, help="Share of the memory to be filled.")
@click.option("--tokens-per-s", type=positive, metavar="N", help="Measured answer tokens/s of the one model given.")
@click.option("--bench", type=click.Path(dir_okay=False), metavar="FILE", help="JSON of `bitproof bench`: its speeds.")
@click.option("--api", "apis", multiple=True, metavar="NAME", help="Compare with this API. Repeatable.")
@click.option("--claimed", metavar="VARIANT", help="What the API says it serves; the catalogue's word otherwise.")
@click.option("--detected", metavar="VARIANT", help="What it was found to serve: its margin at both.")
@click.option(
    "--price-usd", type=positive, metavar="USD", help="To buy one accelerator, with its share of the machine."
)
@click.option("--years", type=positive, default=3.0, show_default=True, help="That it is used for.")
@click.option("--utilisation", type=share, default=0.5, show_default=True, help="Share of the hours it works.")
@click.option("--electricity", type=positive, metavar="USD", help="Per kWh; the catalogue's otherwise.")
@click.option("--pue", type=click.FloatRange(min=1), default=1.2, show_default=True, help="Building over machines.")
@click.option("--catalogue", type=click.Path(dir_okay=False), metavar="FILE", help="YAML over the shipped catalogue.")
@format_option
def cost(models: tuple[str, ...], devices: tuple[str, ...], output_format: str, **given: Any) -> None:
    """Work out memory, speed, energy and cost per million tokens.

    A MODEL is an artifact, a model's folder, a GGUF file, or a name of the catalogue, alone or with a variant:
    llama-3.1-8b:w4a16-g128; MODEL,FOLDER adds a LoRA adapter, unmerged. Several make one table, so a smaller or
    distilled model stands beside a quantized one.
    Speed is the roofline's, an upper bound, unless it was measured. Prices are the catalogue's list prices.
    """
    from bitproof.evaluate.cost import costs
    from bitproof.evaluate.cost_catalogue import read_catalogue
    from bitproof.evaluate.cost_results import Terms
    from bitproof.report.cost_terminal import break_even_table, cost_notes, cost_table, margin_table

    if given["detected"] and not given["apis"]:
        raise UsageError("needs an API to be compared with", where="--detected", remedy="Add --api NAME.")
    kept = ("context", "users", "prompt_tokens", "answer_tokens", "usable", "efficiency", "pue", "years")
    terms = Terms(
        **{name: given[name] for name in (*kept, "utilisation", "price_usd")}, electricity_usd=given["electricity"]
    )
    result = costs(
        models,
        devices,
        read_catalogue(Path(given["catalogue"]) if given["catalogue"] else None),
        terms,
        kv=given["kv"],
        measured=_measured(models, given["tokens_per_s"], given["bench"]),
        apis=given["apis"],
        claimed=given["claimed"],
        detected=given["detected"],
    )
    target = console()
    tables: list[Any] = [cost_table(result, width=target.width)]
    if result.break_even:
        tables += ["", break_even_table(result)]
    if result.margins:
        tables += ["", margin_table(result)]
    show(result, output_format, [*tables, "", *cost_notes(result)], target)


def _measured(models: tuple[str, ...], tokens_per_s: float | None, bench: str | None) -> dict[str, Figure]:
    """Measured speeds by the model's name: one given, or the fastest load of each target of a bench."""
    from bitproof.evaluate.cost_results import Figure

    if tokens_per_s is not None:
        if len(models) > 1 or bench:
            raise UsageError(
                "is the speed of one model", where="--tokens-per-s", remedy="Give one MODEL, and no --bench."
            )
        name = Path(models[0]).name if Path(models[0]).exists() else models[0]
        return {name: Figure(tokens_per_s, ("measured",))}
    if bench is None:
        return {}
    import json

    try:
        record = json.loads(Path(bench).read_text(encoding="utf-8"))
        speeds = {
            target["name"]: [load["tokens_per_s"] for load in target["loads"] if "value" in load["tokens_per_s"]]
            for target in record["targets"]
        }
        best = {name: max(found, key=lambda each: each["value"]) for name, found in speeds.items() if found}
        return {
            name: Figure(float(each["value"]), ("measured",), each["low"], each["high"]) for name, each in best.items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"is no result of `bitproof bench --format json` ({error!r})", where=bench, remedy="Write one."
        ) from error
