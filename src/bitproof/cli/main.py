"""`bitproof`: the commands, imported when they are used, and what every one of them ends with."""

from __future__ import annotations

import difflib
import errno
import logging
import os
import shlex
import shutil
import sys
import textwrap
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

from bitproof import __version__
from bitproof.cli.config import read_config
from bitproof.cli.masking import without_keys
from bitproof.cli.parts import part_of
from bitproof.errors import BitproofError

COMMANDS = (
    "demo",
    "quantize",
    "measure",
    "evaluate",
    "compare",
    "report",
    "profile",
    "audit",
    "providers",
    "check",
    "bench",
    "cost",
    "inspect",
    "calibrate",
    "variants",
    "mock-server",
    "doctor",
)
"""The commands, as `bitproof --help` lists them; `bitproof.cli.NAME` holds a Click command of that name, _ for -."""


ARGUMENTS = "bitproof.arguments"


class LazyGroup(click.Group):
    """A group whose commands are modules, each imported when it is asked for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)  # for the line that resumes or repeats this command
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"bitproof.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="bitproof %(version)s")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Options as YAML; ./bitproof.yaml is read if it exists.",
)
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """Prove what precision a language model is really running at, and what that costs in quality.

    \b
    bitproof demo                        the whole job on a small real model
    bitproof quantize w4a16-gptq-g64     make variants of your own model
    bitproof evaluate VARIANT...         where each breaks, and which is proven good enough
    bitproof inspect FILE|DIR            what precision an artifact really holds
    """
    ctx.default_map = read_config(config, ctx)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code that the contract with users promises."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line on `arguments`; returns the exit code, with whatever went wrong said on stderr."""
    _quiet()
    try:
        result = cli.main(args=list(arguments), prog_name="bitproof", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        return _interrupted(arguments)
    except click.ClickException as error:
        error.show()
        return 2
    except BitproofError as error:
        return _say(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        return _missing(error)
    except MemoryError:
        return _say("out of memory: try fewer variants or tokens at a time, or a machine with more.", 12)
    except OSError as error:
        return _operating_system(error)
    except Exception:  # noqa: BLE001  the outermost handler: whatever comes here is a bug, and is shown whole
        return _bug()
    return result if isinstance(result, int) else 0


def _quiet() -> None:
    """Keep what libraries say about themselves while they are imported off the terminal; errors still show."""
    for chatty in ("torchao", "torch.utils._pytree"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def _say(message: str, exit_code: int) -> int:
    """One paragraph on stderr."""
    width = min(shutil.get_terminal_size().columns, 100)
    click.echo(textwrap.fill(f"bitproof: {message}", width, break_long_words=False, break_on_hyphens=False), err=True)
    return exit_code


def _interrupted(arguments: Sequence[str]) -> int:
    click.echo(f"Interrupted. This line goes on from what is kept:\n  {command_line(arguments)}", err=True)
    return 130


def _operating_system(error: OSError) -> int:
    if error.errno == errno.EPIPE:  # the reader of our output has gone, as in `bitproof ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}the disk is full. Make room, or name another folder with --out, and try again.", 12)
    return _bug()


def _missing(error: ModuleNotFoundError) -> int:
    part = part_of(error.name)
    if part is None:
        return _bug()
    return _say(
        f"{part.distribution} is not installed; it is needed for {part.purpose}. Install it: {part.install}", 12
    )


def _bug() -> int:
    """Show the exception being handled, whole."""
    traceback.print_exc()
    return _say(f"this is a bug in bitproof {__version__}; please report it with the lines above.", 1)


def command_line(arguments: Sequence[str]) -> str:
    """The line a person can paste to run `arguments` again; keys that stand in addresses are left out."""
    return shlex.join(["bitproof", *map(without_keys, arguments)])


def this_command() -> str:
    """The line that repeats the command being run."""
    ctx = click.get_current_context().find_root()
    return command_line(ctx.meta[ARGUMENTS])
