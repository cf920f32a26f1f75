"""What holds for every slice about text: each cluster at each level can be asked, graded, and told right from wrong."""

import re
from functools import cache

import pytest

from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.suite.registry import find_slice
from bitproof.evaluate.suite.slice import make_items
from bitproof.types import Item, Response

SLICES = (
    "grounded",
    "long-context",
    "multi-turn",
    "multilingual",
    "rare-vocabulary",
    "summarization",
    "temperature",
    "unanswerable",
)
LARGEST = 2048.0  # tokens of context: longer items are the same with more filler


@cache
def items_of(name: str, seed: int = 1) -> list[Item]:
    """One item of every cluster at every level."""
    slice_ = find_slice(name)
    levels = [level for level in slice_.levels if level <= LARGEST]
    return [
        item
        for level in levels
        for item in make_items(slice_, slice_.repeats * len(slice_.clusters), seed=seed, level=level)
    ]


@pytest.mark.parametrize("name", SLICES)
def test_every_item_is_complete(name: str) -> None:
    slice_ = find_slice(name)
    items = items_of(name)
    assert len(set(slice_.clusters)) == len(slice_.clusters) >= 50
    assert len({item.id for item in items}) == len(items)
    assert len({item.cluster for item in items}) == len(slice_.clusters)
    for item in items:
        prompt = "\n".join([*(message.content for message in item.messages), *item.follow_ups])
        assert not re.search(r"\{[a-z_]*\}|\bNone\b|  +\S| ,| \.(?!\w)", prompt), prompt[-500:]
        assert item.messages[-1].role == "user"
        assert item.slices == (name,)
        assert item.level in slice_.levels


@pytest.mark.parametrize("name", SLICES)
def test_the_same_seed_gives_the_same_items_and_another_gives_others(name: str) -> None:
    assert make_items(find_slice(name), 20, seed=1) == make_items(find_slice(name), 20, seed=1)
    prompts = {item.messages for item in items_of(name)}
    assert len(prompts & {item.messages for item in items_of(name, seed=2)}) < 0.15 * len(prompts)


@pytest.mark.parametrize("name", SLICES)
def test_a_right_answer_scores_one_a_wrong_or_empty_one_nothing(name: str) -> None:
    for item in items_of(name):
        grade = find_grader(item.grader).grade
        assert item.right
        assert item.wrong
        assert item.right != item.wrong
        before = ("OK",) * len(item.follow_ups)
        assert grade(item, Response(texts=(*before, item.right), finish="stop")).score == 1, (item.id, item.right)
        assert grade(item, Response(texts=(*before, item.wrong), finish="stop")).score == 0, (item.id, item.wrong)
        assert grade(item, Response(texts=(*before, ""), finish="stop")).score == 0
