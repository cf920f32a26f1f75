"""Slice `code-basic`: functions of one to five small operations, with tests from a reference that is composed alike.

The steps stand in the prompt one by one, so that what is asked is to turn words into code and to keep several steps in
order, not to invent an algorithm. A cluster is an operation: each of its items holds it, at a place and in a company
that are drawn. Only chains are asked in which every step changes some result, the results differ, and the function with
one step done wrongly (the item's `wrong`) fails a test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from textwrap import indent
from typing import Any

from bitproof.evaluate.suite.code_operations import KINDS, OPERATIONS, Operation, Step, draw_value
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE"]

LEVELS = (1, 2, 3, 4, 5)
TESTS = 6  # and one example in the prompt
_TRIES = 400


@dataclass(frozen=True)
class _Task:
    name: str
    steps: tuple[Step, ...]
    wrong: int  # the step that `wrong` does wrongly
    values: tuple[Any, ...]  # the first is the example in the prompt

    def result(self, value: Any, *, without: int = -1, wrongly: int = -1) -> Any:
        for number, step in enumerate(self.steps):
            if number != without:
                value = step.run(value, wrongly=number == wrongly)
        return value

    @property
    def stub(self) -> str:
        return f"def {self.name}({KINDS[self.steps[0].operation.takes][0]}):\n"

    @property
    def prompt(self) -> str:
        argument, kind = KINDS[self.steps[0].operation.takes]
        if len(self.steps) == 1:
            what = f"It should {self.steps[0].words} and return the result."
        else:
            steps = "\n".join(f"{number}. {step.words}" for number, step in enumerate(self.steps, 1))
            what = f"It should do these steps in order and return the result:\n{steps}"
        shown = self.values[0]
        return (
            f"Write a Python function `{self.name}({argument})`, where `{argument}` is {kind}. {what}\n"
            f"For example, `{self.name}({shown!r})` returns `{self.result(shown)!r}`.\n"
            "Answer with the function only, in a Python code block."
        )

    def answer(self, *, wrongly: int = -1) -> str:
        argument = KINDS[self.steps[0].operation.takes][0]
        lines = []
        for number, step in enumerate(self.steps):
            code = step.wrong if number == wrongly else step.code
            if number == 0:
                code = _renamed(code, argument)
            lines.append(f"return {code}" if number == len(self.steps) - 1 else f"x = {code}")
        return f"```python\n{self.stub}{indent(chr(10).join(lines), '    ')}\n```"

    @property
    def test(self) -> str:
        return "\n".join(f"assert {self.name}({value!r}) == {self.result(value)!r}" for value in self.values[1:])


def _renamed(code: str, argument: str) -> str:
    """The expression with `x` as the function's own argument."""
    return re.sub(r"(?<![\w'])x(?![\w'])", argument, code)


def make(random: Random, cluster: str, level: float) -> Item:
    """An item whose function has `level` steps, the cluster's operation among them."""
    example = _task(random, random.choice([name for name in OPERATIONS if name != cluster]), min(int(level), 2))
    task = _task(random, cluster, int(level))
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(
            Message(role="user", content=example.prompt),
            Message(role="assistant", content=example.answer()),
            Message(role="user", content=task.prompt),
        ),
        grader="code",
        gold={"entry": task.name, "prefix": "", "stub": task.stub, "test": task.test},
        right=task.answer(),
        wrong=task.answer(wrongly=task.wrong),
        max_tokens=48 + 24 * int(level),
    )


def _task(random: Random, cluster: str, level: int) -> _Task:
    for _ in range(_TRIES):
        steps = _chain(random, OPERATIONS[cluster], level)
        name = cluster if level == 1 else random.choice(("process", "transform", "compute", "solve"))
        values = _values(random, steps)
        if len(values) <= TESTS:
            continue
        task = _Task(name, steps, random.randrange(level), values)
        if _tells(task):
            return task
    raise RuntimeError(f"no function of {level} steps was found for {cluster}")


def _chain(random: Random, operation: Operation, length: int) -> tuple[Step, ...]:
    before = random.randrange(length)
    chain = [operation]
    while len(chain) <= before:
        chain.insert(0, random.choice([one for one in OPERATIONS.values() if one.gives == chain[0].takes]))
    while len(chain) < length:
        chain.append(random.choice([one for one in OPERATIONS.values() if one.takes == chain[-1].gives]))
    return tuple(one.step(random) for one in chain)


def _values(random: Random, steps: tuple[Step, ...]) -> tuple[Any, ...]:
    """Different values for which the function is defined and its words mean one thing; the example's result first."""
    shown: list[Any] = []
    tested: list[Any] = []
    for _ in range(4 * TESTS):
        value = result = draw_value(random, steps[0].operation.takes)
        try:
            plain = True
            for step in steps:
                plain = plain and step.is_plain(result)
                result = step.run(result)
        except (ValueError, IndexError):
            continue
        if plain and value not in shown + tested and len(repr(result)) < 120:
            (tested if shown or not result else shown).append(value)
    return (*shown, *tested[:TESTS]) if shown else ()


def _tells(task: _Task) -> bool:
    """Whether the tests notice a step left out or done wrongly, and a constant answer."""
    expected = _outcomes(task)
    if len(set(expected)) < 3:
        return False
    idle = any(
        step.operation.takes == step.operation.gives and _outcomes(task, without=number) == expected
        for number, step in enumerate(task.steps)
    )
    return not idle and _outcomes(task, wrongly=task.wrong) != expected


def _outcomes(task: _Task, **change: int) -> list[str]:
    found = []
    for value in task.values[1:]:
        try:
            found.append(repr(task.result(value, **change)))
        except (ValueError, IndexError, TypeError, AttributeError, KeyError) as error:
            found.append(type(error).__name__)
    return found


SLICE = Slice(
    name="code-basic",
    title="Code: small functions",
    what="a Python function of a few given steps, which must pass tests when it is run",
    clusters=tuple(OPERATIONS),
    levels=LEVELS,
    unit="steps",
    make=make,
    context_tokens=lambda steps: 440 + 30 * steps,
    needs=("sandbox",),
)
