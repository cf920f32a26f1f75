"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bitproof.errors import EnvironmentFailed

__all__ = ["write_aside", "write_text"]


def write_aside(
    path: Path, write: Callable[[Path], Any], *, failures: tuple[type[Exception], ...] = (OSError,)
) -> None:
    """Have `write(temporary path)` make a file, then rename it; its folder is made where there is none.

    Raises EnvironmentFailed for one of `failures` (disk full, no permission); nothing half-written stays.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except failures as error:
        raise EnvironmentFailed(
            f"could not be written ({error})",
            where=str(path),
            remedy="Free some disk space, or give another --out, and run the same command again: it goes on from here.",
        ) from error
    finally:
        with suppress(NotADirectoryError):  # where a folder of the path is a file, there is nothing to clear away
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8; see `write_aside`."""
    write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))
