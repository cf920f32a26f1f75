"""Stopping early: whole clusters a part, found when it is plain, and rarely where it is not so."""

from __future__ import annotations

import numpy as np

from bitproof.evaluate.early import decisive_loss, parts_of
from bitproof.evaluate.requirements import parse_requirement
from bitproof.types import Grade, Item, Message, NotMeasured

WANTED = (parse_requirement("code>=-10pp"), parse_requirement("json>=-10pp"))


def items(n: int, name: str = "code", per_cluster: int = 2) -> list[Item]:
    question = (Message(role="user", content="?"),)
    return [
        Item(
            id=f"{name}/{i}",
            slices=(name,),
            cluster=f"{name}:{i // per_cluster}",
            messages=question,
            grader="",
            gold={},
        )
        for i in range(n)
    ]


def grades(asked: list[Item], scores: list[float]) -> dict[str, Grade]:
    return {item.id: Grade(score=score) for item, score in zip(asked, scores, strict=True)}


def test_parts_hold_every_item_once_and_whole_clusters():
    asked = [*items(60), *items(20, "json", 5)]
    parts = parts_of(asked, seed=1)
    assert sorted(item.id for part in parts for item in part) == sorted(item.id for item in asked)
    clusters = [{item.cluster for item in part} for part in parts]
    assert sum(map(len, clusters)) == len(set().union(*clusters))
    assert parts == parts_of(asked[::-1], seed=1) or [p[0].cluster for p in parts] == [
        p[0].cluster for p in parts_of(asked[::-1], seed=1)
    ]
    assert [p[0].cluster for p in parts] != [p[0].cluster for p in parts_of(asked, seed=2)]


def test_a_plain_loss_is_found_and_says_of_which_requirement():
    asked = items(60)
    found = decisive_loss(WANTED, asked, grades(asked, [1.0] * 60), grades(asked, [0.0] * 60), level=0.01)
    assert found is not None
    assert (found.requirement, found.n_clusters) == ("code>=-10pp", 30)
    assert found.p <= 0.01
    assert "30 clusters" in found.words
    assert found.gate(WANTED[0]).p_fail == found.p
    assert found.gate(WANTED[1]).unmeasurable


def test_no_loss_and_no_items_are_not_a_loss():
    asked = items(60)
    same = grades(asked, [1.0] * 60)
    assert decisive_loss(WANTED, asked, same, same, level=0.01) is None
    assert decisive_loss(WANTED, asked, same, {}, level=0.01) is None
    ungraded = {item.id: Grade(score=NotMeasured("no sandbox")) for item in asked}
    assert decisive_loss(WANTED, asked, same, ungraded, level=0.01) is None


def test_a_loss_of_just_the_margin_is_rarely_stopped():
    """2,000 simulated variants that lose exactly 10 points, looked at after every fifth of their items."""
    rng = np.random.default_rng(0)
    asked = items(100, per_cluster=1)
    parts = parts_of(asked, seed=0)
    ordered = [item for part in parts for item in part]
    stopped = 0
    for _ in range(2000):
        lost = rng.random(100) < 0.15  # 15 % lost, 5 % gained
        gained = ~lost & (rng.random(100) < 0.05 / 0.85)
        first = grades(ordered, [0.0 if up else 1.0 for up in gained])
        second = grades(ordered, [0.0 if down else 1.0 for down in lost])
        seen: list[Item] = []
        for part in parts:
            seen += part
            if decisive_loss(WANTED[:1], seen, first, second, level=0.01) is not None:
                stopped += 1
                break
    assert stopped <= 2000 * 0.01 + 3 * (2000 * 0.01 * 0.99) ** 0.5
