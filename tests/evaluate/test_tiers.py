import json
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from bitproof.engines.generation import Abilities, Completion, OnCompletion, Request
from bitproof.errors import MissingPartError
from bitproof.evaluate.runner import Subject
from bitproof.evaluate.suite.build import PROFILES, Profile
from bitproof.evaluate.suite.registry import slices
from bitproof.evaluate.suite.slice import Slice
from bitproof.evaluate.tiers import choose, level_scores, shipped_levels
from bitproof.store.runs import Store
from bitproof.types import Item, Message

ANY = Profile(name="any", items=1)


def made(random: Random, cluster: str, level: float) -> Item:
    messages = (Message(role="user", content=f"{level:g} {random.random()}"),)
    return Item(id="", slices=(), cluster="", messages=messages, grader="exact", gold={"accept": ["yes"]})


def absent(random: Random, cluster: str, level: float) -> Item:
    raise MissingPartError("is not installed")


SLICE = Slice(
    name="steps", title="", what="", clusters=("a",), levels=(1, 2, 3, 4, 5, 6), unit="", make=made,
    context_tokens=lambda level: 100 * level,
)  # fmt: skip


def scores(tmp_path: Path, right: dict[str, int], *wanted: Slice, profile: Profile = ANY) -> tuple[Any, list[str]]:
    """The scores of a model that gets every n-th item of a level right, and the levels that it was asked."""
    asked: list[str] = []

    def generate(requests: Iterable[Request], on_completion: OnCompletion) -> None:
        for number, request in enumerate(requests):
            level = (request.messages or ())[0].content.split()[0]
            asked.append(level)
            said = "yes" if level in right and number % right[level] == 0 else "no"
            on_completion(Completion(key=request.key, text=said))

    engine: Any = SimpleNamespace(name="fake", version="1", settings={}, abilities=Abilities(), generate=generate)
    with Store(tmp_path / "store") as store:
        found = level_scores(store, None, Subject(name="m", engine=engine, model="d"), wanted, profile, seed=0)
    return found, list(dict.fromkeys(asked))


def test_harder_levels_are_not_asked_after_two_without_a_right_answer(tmp_path: Path) -> None:
    found, asked = scores(tmp_path, {"1": 1, "2": 2, "3": 4, "6": 1}, SLICE)
    assert found == {"steps": {1: 1.0, 2: 0.5, 3: 0.25, 4: 0.0, 5: 0.0}}
    assert asked == ["1", "2", "3", "4", "5"]
    assert choose(found["steps"]) == (2, 3)


def test_one_level_without_a_right_answer_is_not_enough(tmp_path: Path) -> None:
    found, _ = scores(tmp_path, {"2": 3, "4": 1}, SLICE)
    assert found == {"steps": {1: 0.0, 2: pytest.approx(1 / 3), 3: 0.0, 4: 1.0, 5: 0.0, 6: 0.0}}


def test_where_nothing_is_to_choose_nothing_is_asked(tmp_path: Path) -> None:
    sweep, one = replace(SLICE, sweep=True), replace(SLICE, name="one", levels=(1,))
    missing = replace(SLICE, name="missing", make=absent)
    assert scores(tmp_path, {"1": 1}, sweep, one, missing) == ({}, [])
    short = replace(ANY, context_tokens=250)
    assert scores(tmp_path, {"1": 1}, SLICE, profile=short) == ({"steps": {1: 1.0, 2: 0.0}}, ["1", "2"])


def test_levels_of_the_embedded_model_are_there_for_every_slice_and_as_chosen() -> None:
    text = resources.files("bitproof.data").joinpath("levels.json").read_text(encoding="utf-8")
    for digest, known in json.loads(text)["references"].items():
        levels = shipped_levels(digest)
        assert levels.keys() == slices().keys()
        for name, slice_ in slices().items():
            assert levels[name]
            assert set(levels[name]) <= set(slice_.levels)
            if name in known["scores"]:
                assert levels[name] == choose({float(level): score for level, score in known["scores"][name].items()})
            else:
                assert levels[name] == slice_.levels
            assert set(levels[name]) & set(PROFILES["core"].reachable(slice_))
