"""`bitproof mock-server`: an OpenAI-compatible server on this machine, with faults on demand."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitproof.cli.options import model_option, seed_option
from bitproof.cli.output import say
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.engines.mock_answers import Answerer
    from bitproof.engines.mock_faults import Faults


@click.command("mock-server")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--echo", is_flag=True, help="Answer with what was said last.")
@click.option(
    "--answers",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help='Answers from a JSONL file of {"prompt": ..., "answer": ...}; anything else is echoed.',
)
@click.option("--artifact", metavar="PATH", help="Answer with an artifact of `bitproof quantize`, or a GGUF file.")
@click.option(
    "--engine",
    type=click.Choice(["emulation", "llamacpp", "vllm"]),
    default="emulation",
    show_default=True,
    help="What runs the artifact; a GGUF file is run by llama.cpp.",
)
@model_option
@click.option("--fault", "faults", multiple=True, metavar="KIND=SHARE", help="A fault in a share of the requests.")
@click.option("--ignore", "ignores", multiple=True, metavar="NAME", help="A parameter to take and not to follow.")
@click.option("--delay-s", type=click.FloatRange(min=0), default=0.0, help="Seconds before every answer.")
@click.option("--between-s", type=click.FloatRange(min=0), default=0.0, help="Seconds between pieces of a stream.")
@click.option("--slow-s", type=click.FloatRange(min=0), default=1.0, help="Seconds that the fault slow adds.")
@click.option(
    "--retry-after-s", type=click.FloatRange(min=0), default=1.0, help="What the fault rate_limited asks for."
)
@seed_option
def mock_server(
    port: int,
    echo: bool,
    answers: str | None,
    artifact: str | None,
    engine: str,
    model: str,
    faults: tuple[str, ...],
    ignores: tuple[str, ...],
    seed: int,
    **times: float,
) -> None:
    """Serve a mock of an API, with faults on demand.

    It speaks OpenAI's and Anthropic's forms on 127.0.0.1, until interrupted.

    It answers with a tiny random model unless told otherwise. Kinds of --fault: rate_limited, server_error, cut,
    malformed, html, wrong_finish, filtered, slow. Names for --ignore: echo, logprobs, max_tokens, prompt_ids,
    prompt_logprobs, schema, seed, stream, temperature, token_ids, tool_choice, usage. The same requests meet the same
    faults with the same --seed.
    """
    from bitproof.engines.mock_answers import TinyModel, canned
    from bitproof.engines.mock_answers import echo as echoed
    from bitproof.engines.mock_server import MockServer

    if sum(map(bool, (echo, answers, artifact))) > 1:
        raise UsageError("there can be one source of answers", where="--echo, --answers, --artifact")
    wanted = _faults(faults, ignores, times)

    def serve(answerer: Answerer) -> None:
        with MockServer(answerer, faults=wanted, seed=seed, port=port) as server:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: server.stop())
            say(f"Serving {server.url} (model mock). Stop it with Ctrl-C.")
            server.wait()
        n = len(server.bodies)
        say(f"Stopped after {n} request{'s' * (n != 1)}.")

    if artifact:
        with _backed(Path(artifact), engine, model) as answerer:
            serve(answerer)
    else:
        serve(canned(_read_answers(Path(answers))) if answers else echoed if echo else TinyModel(seed=seed))


def _faults(shares: tuple[str, ...], ignores: tuple[str, ...], times: dict[str, float]) -> Faults:
    """--fault KIND=SHARE and the rest as Faults; raises UsageError for a kind that is none."""
    from bitproof.engines.mock_faults import KINDS, Faults

    chosen: dict[str, Any] = {}
    for text in shares:
        kind, _, share = text.partition("=")
        try:
            chosen[kind] = float(share)
        except ValueError:
            chosen[kind] = -1.0
        if kind not in KINDS or not 0 <= chosen[kind] <= 1:
            raise UsageError(
                f"{text!r} is no KIND=SHARE",
                where="--fault",
                remedy=f"Kinds are {', '.join(KINDS)}; a share is 0 to 1, as in cut=0.1.",
            )
    return Faults(ignores=ignores, **chosen, **times)


def _read_answers(file: Path) -> dict[str, str]:
    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            found[str(record["prompt"])] = str(record["answer"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"is no answer ({error})",
                where=f"{file}, line {number}",
                remedy='A line is {"prompt": "...", "answer": "..."}.',
            ) from error
    return found


@contextmanager
def _backed(path: Path, engine: str, model: str) -> Iterator[Answerer]:
    """An artifact that answers, in the engine that was chosen."""
    from bitproof.engines.mock_answers import Backed

    if engine == "llamacpp" or path.suffix == ".gguf":
        from bitproof.engines.llamacpp_server import LlamaCppGenerator

        with LlamaCppGenerator(path) as llamacpp, Backed(llamacpp) as answerer:
            yield answerer
    elif engine == "vllm":
        from bitproof.engines.vllm_server import VllmGenerator

        with VllmGenerator(path) as vllm, Backed(vllm) as answerer:
            yield answerer
    else:
        from bitproof.engines.emulated import EmulatedGenerator
        from bitproof.evaluate.prompts import prompt_ids
        from bitproof.models import load
        from bitproof.quantize.artifact import overlay_of, read_artifact

        reference, found = load(model), read_artifact(path)
        overlay = overlay_of(reference, found.path, found.variant)

        def render(messages: Any) -> tuple[int, ...]:
            return prompt_ids(reference.tokenizer, messages, where="the request")

        with EmulatedGenerator(reference, overlay) as emulated, Backed(emulated, render=render) as answerer:
            yield answerer
