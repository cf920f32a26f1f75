"""Shards: what several processes asked is one run, whatever their number, and what does not belong is refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bitproof.errors import UsageError
from bitproof.evaluate.evaluate import evaluate
from bitproof.evaluate.hosts import open_host
from bitproof.evaluate.plan import Plan
from bitproof.evaluate.shards import ask_shard
from bitproof.evaluate.suite.build import Profile

PLAN = Plan(profile=Profile(name="demo", items=6, max_tokens=48, max_context=300), slices=("rare-vocabulary", "units"))


def host(ladder: Any) -> Any:
    return open_host("emulation", ladder.reference, ladder.artifacts[:2])


def test_shards_make_the_run_that_one_process_makes(ladder, tmp_path, monkeypatch):
    alone = evaluate(host(ladder), PLAN, out=tmp_path / "alone")
    for number in (1, 2, 3):
        ask_shard(host(ladder), PLAN, out=tmp_path / "three", shard=(number, 3))
    monkeypatch.setattr("bitproof.evaluate.hosts.EmulatedGenerator.__init__", None)  # nothing is left to ask
    together = evaluate(host(ladder), PLAN, out=tmp_path / "three")
    assert together.plan_digest == alone.plan_digest
    for one, other in zip(together.variants + together.noise, alone.variants + alone.noise, strict=True):
        for mine, theirs in zip(one.comparisons, other.comparisons, strict=True):
            assert (mine.n_items, mine.lost, mine.gained) == (theirs.n_items, theirs.lost, theirs.gained)
            assert mine.difference == theirs.difference


def test_what_a_missing_shard_would_have_asked_is_asked(ladder, tmp_path):
    ask_shard(host(ladder), PLAN, out=tmp_path, shard=(1, 2))
    found = evaluate(host(ladder), PLAN, out=tmp_path)
    assert all(row.overall.n_items == found.n_items for row in found.variants)


def test_a_shard_of_another_plan_is_refused(ladder, tmp_path):
    ask_shard(host(ladder), PLAN, out=tmp_path, shard=(1, 2))
    ask_shard(host(ladder), Plan(profile=PLAN.profile, slices=PLAN.slices, seed=1), out=tmp_path, shard=(2, 2))
    with pytest.raises(UsageError, match=r"2-of-2: was asked otherwise .*its seed, suite differ"):
        evaluate(host(ladder), PLAN, out=tmp_path)


def test_a_shard_with_another_number_of_threads_is_refused(ladder, tmp_path):
    for number in (1, 2):
        ask_shard(host(ladder), PLAN, out=tmp_path, shard=(number, 2))
    change_engine(tmp_path / "shards" / "2-of-2" / "run.sqlite")
    with pytest.raises(UsageError, match=r"2-of-2: was asked otherwise .*settings differ.*threads"):
        evaluate(host(ladder), PLAN, out=tmp_path)


def change_engine(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        for key, text in connection.execute("SELECT key, record FROM facts WHERE key LIKE 'engine of %'").fetchall():
            record = json.loads(text)
            record["settings"]["threads"] = 99
            connection.execute("UPDATE facts SET record = ? WHERE key = ?", (json.dumps(record), key))
