import pytest

from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.graders.several import grade_all
from bitproof.evaluate.sandbox import Sandbox, sandbox
from bitproof.evaluate.suite.registry import find_slice
from bitproof.evaluate.suite.slice import make_items
from bitproof.types import Item, Response


def pairs(name: str, n: int) -> list[tuple[Item, Response]]:
    """Right and wrong answers in turn."""
    items = make_items(find_slice(name), n, seed=2)
    texts = (item.right if number % 2 else item.wrong for number, item in enumerate(items))
    return [(item, Response(texts=(text or "",), finish="stop")) for item, text in zip(items, texts, strict=True)]


def test_code_is_graded_in_several_threads_as_it_is_in_one() -> None:
    if not isinstance(sandbox(), Sandbox):
        pytest.skip("no sandbox here")
    given = [pair for both in zip(pairs("code-basic", 12), pairs("arithmetic", 12), strict=True) for pair in both]
    found = grade_all(given, threads=4)
    assert [grade.score for grade in found] == [0, 0, 1, 1] * 6
    assert found == [find_grader(item.grader).grade(item, response) for item, response in given]


def test_without_code_and_without_answers() -> None:
    assert grade_all([]) == []
    assert [grade.score for grade in grade_all(pairs("arithmetic", 4))] == [0, 1, 0, 1]
