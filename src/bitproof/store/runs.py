"""The database of a run: completions by what made them, grades by completion and grader.

SQLite in the run's folder, or any database that SQLAlchemy reaches by URL. Each record is committed as it comes: a
process that is killed loses what was in flight and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, Text, create_engine, delete, event, select
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from bitproof.errors import EnvironmentFailed, UsageError

__all__ = ["FILE", "Store", "digest_of"]

FILE = "run.sqlite"
AT_ONCE = 500  # keys in one query

_metadata = MetaData()
_completions = Table(
    "completions", _metadata, Column("key", String(64), primary_key=True), Column("record", Text, nullable=False)
)
_grades = Table(
    "grades",
    _metadata,
    Column("key", String(64), primary_key=True),
    Column("record", Text, nullable=False),
)
_facts = Table("facts", _metadata, Column("key", Text, primary_key=True), Column("record", Text, nullable=False))


def digest_of(record: Any) -> str:
    """SHA-256 of a record of JSON types, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Store:
    """The records of one run; a context manager.

    `where` is a folder (it gets `run.sqlite`) or a database URL. Raises UsageError for a database that is damaged or
    not one of bitproof's, EnvironmentFailed where it cannot be written (disk full, no permission, server down).
    """

    def __init__(self, where: Path | str) -> None:
        self.where = str(where)
        if isinstance(where, Path):
            where.mkdir(parents=True, exist_ok=True)
            self.where = str(where / FILE)
            where = f"sqlite:///{where / FILE}"
        with self._answered():
            self._engine: Engine = create_engine(where)
            if self._engine.dialect.name == "sqlite":
                event.listen(self._engine, "connect", _quick)
            _metadata.create_all(self._engine)

    def completions(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Those of the completions that are there, by key."""
        return self._read(_completions, keys)

    def keep_completion(self, key: str, record: Mapping[str, Any]) -> None:
        """Add a completion; one that is there already stays."""
        self._write(_completions, {key: record})

    def grades(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Those of the grades that are there, by key."""
        return self._read(_grades, keys)

    def keep_grades(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Add grades; those that are there already stay."""
        self._write(_grades, records)

    def fact(self, key: str) -> Any:
        """What `keep_fact` kept under this name, or None."""
        return self._read(_facts, [key]).get(key)

    def facts(self, prefix: str) -> dict[str, Any]:
        """All facts whose names begin so."""
        with self._answered(), self._engine.connect() as connection:
            query = select(_facts.c.key, _facts.c.record).where(_facts.c.key.startswith(prefix, autoescape=True))
            return {key: json.loads(record) for key, record in connection.execute(query)}

    def keep_fact(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record about the run itself, once; one that is there already stays."""
        self._write(_facts, {key: record})

    def set_fact(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record about the run, in place of one that was there."""
        with self._answered(), self._engine.begin() as connection:
            connection.execute(delete(_facts).where(_facts.c.key == key))
            connection.execute(_facts.insert(), [{"key": key, "record": json.dumps(record, sort_keys=True)}])

    def take_in(self, other: Store) -> int:
        """Add all records of another run's database; those that are there already stay. Gives how many it held."""
        total = 0
        for table in (_facts, _completions, _grades):
            with other._answered(), other._engine.connect() as connection:
                rows = [dict(row) for row in connection.execute(select(table)).mappings()]
            for start in range(0, len(rows), AT_ONCE):
                with self._answered(), self._engine.begin() as connection:
                    _insert_missing(connection, table, rows[start : start + AT_ONCE])
            total += len(rows)
        return total

    def _read(self, table: Table, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        wanted = list(keys)
        found: dict[str, dict[str, Any]] = {}
        with self._answered(), self._engine.connect() as connection:
            for start in range(0, len(wanted), AT_ONCE):
                query = select(table.c.key, table.c.record).where(table.c.key.in_(wanted[start : start + AT_ONCE]))
                found |= {key: json.loads(record) for key, record in connection.execute(query)}
        return found

    def _write(self, table: Table, records: Mapping[str, Mapping[str, Any]]) -> None:
        if not records:
            return
        rows = [{"key": key, "record": json.dumps(record, sort_keys=True)} for key, record in records.items()]
        with self._answered(), self._engine.begin() as connection:
            _insert_missing(connection, table, rows)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, json.JSONDecodeError) as error:
            words = str(getattr(error, "orig", error))
            if "disk" in words or "readonly" in words or "unable to open" in words or "locked" in words:
                raise EnvironmentFailed(
                    f"the run's database cannot be written ({words})",
                    where=self.where,
                    remedy="Free some disk space, or end what else writes it, and run the same command again.",
                ) from error
            raise UsageError(
                f"is not a sound database of a run ({words})",
                where=self.where,
                remedy="Give another --out, or remove the file: its answers are then asked for again.",
            ) from error
        except SQLAlchemyError as error:
            raise EnvironmentFailed(
                f"the run's database failed ({error})", where=self.where, remedy="Run the same command again."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()


def _insert_missing(connection: Connection, table: Table, rows: list[dict[str, str]]) -> None:
    """Insert what is not there yet, in the words of the database."""
    if connection.dialect.name in ("sqlite", "postgresql"):
        from sqlalchemy.dialects import postgresql, sqlite

        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(insert(table).on_conflict_do_nothing(), rows)
        return
    keys = [row["key"] for row in rows]
    there = set(connection.scalars(select(table.c.key).where(table.c.key.in_(keys))))
    missing = [row for row in rows if row["key"] not in there]
    if missing:
        connection.execute(table.insert(), missing)


def _quick(connection: Any, _: Any) -> None:
    """Write-ahead log, and no wait for the disk at each commit: a killed process loses nothing, a power cut little."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
