"""Engines that are started only when something is left to ask.

A run notes which engine it asked. When it is gone on with, the answers that are there are read under that engine's
name; the engine itself is started where one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from bitproof.engines.generation import Abilities, Ability, Generator, OnCompletion, Request
from bitproof.engines.protocol import Tokens
from bitproof.evaluate.hosts import Target
from bitproof.evaluate.runner import Subject
from bitproof.store.runs import Store

__all__ = ["ask"]

Found = TypeVar("Found")


def ask(store: Store, target: Target, work: Callable[[Subject], Found]) -> Found:
    """What `work` finds out about a target; it may be called twice, first with what the store has and no engine."""
    note = f"engine of {target.name} {target.digest}"
    known = store.fact(note)
    if known is not None:
        try:
            return work(Subject(name=target.name, engine=_Kept(known), model=target.digest))
        except _NotKeptError:
            pass
    with target.open() as engine:
        store.set_fact(note, _record(engine))
        return work(Subject(name=target.name, engine=engine, model=target.digest))


class _NotKeptError(Exception):
    """Something must be asked."""


def _record(engine: Generator) -> dict[str, Any]:
    found = engine.abilities
    return {
        "name": engine.name,
        "version": engine.version,
        "settings": dict(engine.settings),
        "abilities": {name: asdict(getattr(found, name)) for name in ("prompt_ids", "score")},
    }


@dataclass(frozen=True)
class _Kept:
    """An engine that was there: it has a name, and answers nothing."""

    record: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def version(self) -> str:
        return str(self.record["version"])

    @property
    def settings(self) -> dict[str, str | int]:
        return dict(self.record["settings"])

    @property
    def abilities(self) -> Abilities:
        return Abilities(**{name: Ability(**known) for name, known in self.record["abilities"].items()})

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        raise _NotKeptError

    def score(self, token_sequences: Tokens, *, first: Sequence[int] | None = None) -> NoReturn:
        raise _NotKeptError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was started."""
