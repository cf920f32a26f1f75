"""Taking turns: everybody once a round, so many at a time, in an order that the seed draws."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from bitproof.audit.provider_turns import Ended, InTurn, Rounds, Tally, side_by_side
from bitproof.engines.generation import Abilities, Ability, Completion, OnCompletion, Request
from bitproof.errors import EnvironmentFailed, UnsupportedError
from bitproof.types import Message

NAMES = ("a", "b", "c", "d")


def order(seed: int, at_once: int = 1, rounds: int = 6) -> list[str]:
    """Who had a turn, in order."""
    turns, had = Rounds(NAMES, seed=seed, at_once=at_once), list[str]()

    def job(name: str) -> None:
        for _ in range(rounds):
            with turns.turn(name):
                had.append(name)

    side_by_side(turns, {name: lambda name=name: job(name) for name in NAMES})  # type: ignore[misc]
    return had


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_every_round_has_everybody_once(at_once: int):
    had = order(3, at_once)
    for start in range(0, len(had), len(NAMES)):
        assert sorted(had[start : start + len(NAMES)]) == sorted(NAMES)


def test_the_order_is_random_and_comes_from_the_seed():
    rounds = [tuple(order(5)[start : start + 4]) for start in range(0, 24, 4)]
    assert len(set(rounds)) > 1
    assert order(5) == order(5)
    assert order(5) != order(6)


def test_no_more_are_inside_than_allowed():
    turns, inside, most, lock = Rounds(NAMES, seed=0, at_once=2), 0, 0, threading.Lock()
    together = threading.Barrier(2)

    def job(name: str) -> None:
        nonlocal inside, most
        with turns.turn(name):
            with lock:
                inside += 1
                most = max(most, inside)
            together.wait(10)
            with lock:
                inside -= 1

    side_by_side(turns, {name: lambda name=name: job(name) for name in NAMES})  # type: ignore[misc]
    assert most == 2


def test_who_leaves_holds_nobody_up():
    turns, had = Rounds(NAMES, seed=0, at_once=1), list[str]()

    def job(name: str) -> None:
        for _ in range(1 if name == "a" else 3):
            with turns.turn(name):
                had.append(name)

    side_by_side(turns, {name: lambda name=name: job(name) for name in NAMES})  # type: ignore[misc]
    assert [had.count(name) for name in NAMES] == [1, 3, 3, 3]


def test_a_job_that_fails_ends_the_others():
    turns = Rounds(NAMES, seed=0, at_once=1)
    ended = []

    def job(name: str) -> None:
        if name == "a":
            raise ZeroDivisionError
        try:
            while True:
                with turns.turn(name):
                    pass
        except Ended:
            ended.append(name)

    with pytest.raises(ZeroDivisionError):
        side_by_side(turns, {name: lambda name=name: job(name) for name in NAMES})  # type: ignore[misc]
    assert sorted(ended) == ["b", "c", "d"]


class Echo:
    name, version, settings = "echo", "", {}
    abilities = Abilities(prompt_ids=Ability(True), score=Ability(True), chat=Ability(True))

    def __init__(self, breaks_after: int = 99) -> None:
        self.asked: list[str] = []
        self._left = breaks_after

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        for request in requests:
            if len(self.asked) == self._left:
                raise EnvironmentFailed("is gone")
            self.asked.append(request.key)
            on_completion(Completion(key=request.key, text=request.key, prompt_tokens=2, answer_tokens=3, total_s=0.5))


def requests(n: int, **more: Any) -> list[Request]:
    return [Request(key=str(i), messages=(Message(role="user", content="x"),), **more) for i in range(n)]


def in_turn(engine: Any, *, lenient: bool = False) -> InTurn:
    return InTurn(engine, "a", Rounds(["a"], seed=0, at_once=1), lenient=lenient)


def test_what_was_answered_is_not_asked_again():
    engine, answers = Echo(), list[Completion]()
    turn = in_turn(engine)
    for _ in range(2):
        turn.generate(requests(3), answers.append)
    turn.generate(requests(1, max_tokens=5), answers.append)  # another request of the same key
    assert engine.asked == ["0", "1", "2", "0"]
    assert [one.key for one in answers] == ["0", "1", "2"] * 2 + ["0"]
    assert (turn.n_requests, turn.prompt_tokens, turn.answer_tokens, turn.seconds) == (4, 8, 12, [0.5] * 4)


def test_a_lenient_one_answers_with_errors_where_the_engine_has_failed():
    answers: list[Completion] = []
    in_turn(Echo(1), lenient=True).generate(requests(3), answers.append)
    assert [(one.text, one.finish, one.error) for one in answers] == [
        ("0", "stop", ""),
        ("", "error", "is gone"),
        ("", "error", "is gone"),
    ]
    with pytest.raises(EnvironmentFailed):
        in_turn(Echo(1)).generate(requests(3), answers.append)


def test_prompts_are_messages_and_nothing_is_scored():
    turn = in_turn(Echo())
    assert not turn.abilities.prompt_ids
    assert not turn.abilities.score
    assert turn.abilities.chat
    with pytest.raises(UnsupportedError):
        turn.score([])


def test_the_tally_counts_every_endpoint_alike():
    seen: list[tuple[float, float, str]] = []
    tally = Tally(["a", "b"], lambda done, total, what: seen.append((done, total, what)))
    tally.of("a")(5, 10, "")
    tally.of("b")(1, 1, "")
    assert seen == [(0.5, 2, "a"), (1.5, 2, "b")]
