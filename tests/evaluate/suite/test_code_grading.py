"""Code found in answers, and what the grader says of it."""

from __future__ import annotations

import ast

import pytest

from bitproof.evaluate.graders import code as code_grader
from bitproof.evaluate.graders.code_inside import invented
from bitproof.evaluate.graders.code_text import extract
from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.sandbox import Sandbox, sandbox
from bitproof.types import Grade, Item, Message, NotMeasured, Response

GOOD = "def twice(x):\n    return x * 2"
STUB = "def twice(x):\n"
ITEM = Item(
    id="one",
    slices=("code",),
    cluster="one",
    messages=(Message(role="user", content="Write twice(x)."),),
    grader="code",
    gold={"entry": "twice", "prefix": "import math\n", "stub": STUB, "test": "assert twice(4) == 8"},
)


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"```python\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"  ```python\n{GOOD}\n  ```".replace("    return", "    return"),
        f"~~~py\n{GOOD}\n~~~",
        f"Sure! Here it is:\n\n```python\n{GOOD}\n```\n\nIt doubles `x`.",
        f"Here it is:\n{GOOD}\n\nThis function doubles its argument.",
        f"```python\n{GOOD}\n\nprint(twice(3))\nassert twice(1) == 3\n```",
        f"```python\n{GOOD}\n\nif __name__ == '__main__':\n    twice(input())\n```",
        f"```python\n{GOOD}\n\nresult = twice(5)\n```",
        f"```bash\npython main.py\n```\n```python\n{GOOD}\n```",
        f"```python\n{GOOD}\n```\nOr shorter:\n```python\ntwice = lambda x: x - 2\n```",
        "```python\ntwice = lambda x: x * 2\n```",
        "    return x * 2",
        "return x * 2",
        "```python\n    return x * 2\n```",
        "```python\ny = x * 2\nreturn y\n```",
        "    y = x * 2\n    return y\n\nThat is all.",
        f"```python\n{GOOD}",
        GOOD.replace("\n", "\r\n"),
        f"```python\nimport math\nFACTOR = int(math.sqrt(4))\n{GOOD.replace('2', 'FACTOR')}\n```",
        f"```python\nfrom typing import List\n\n@staticmethod\n{GOOD}\n```",
        "async_ = 1\n" + GOOD,
    ],
)
def test_code_is_found(answer: str) -> None:
    found = extract(answer, entry="twice", stub=STUB)
    assert found is not None
    namespace: dict[str, object] = {}
    exec(found.source, namespace)
    assert namespace["twice"](4) == 8  # type: ignore[operator]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I cannot write code.",
        "```python\n```",
        "def twice(x):\n    return x *",
        "def twice(x):\n    y = (x\n    return y",
        "def double(x):\n    return 2 * x",
        "```python\ndef twice(x):\n    if x:\n```",
        "def twice(x):\n    y = 1\n    return y +* 2\n",
        "def twice(x):\n\0",
        "def twice(x):\n    return " + "(" * 5000,
        "return " + "-" * 19000 + "x",
    ],
)
def test_no_code_is_found(answer: str) -> None:
    assert extract(answer, entry="twice", stub=STUB) is None


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        (f"```python\n{GOOD}\n```", True),
        (f"```python\n{GOOD}\n", False),
        (GOOD, False),
        (f"{GOOD}\n\nThis doubles", True),
        (f"{GOOD}\nprint(tw", True),
        ("return x * 2", False),
    ],
)
def test_whether_the_function_was_ended(answer: str, ended: bool) -> None:
    found = extract(answer, entry="twice", stub=STUB)
    assert found is not None
    assert found.ended is ended


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import math\nmath.sqrt(2)", []),
        ("import math\nmath.average([1])", ["math.average"]),
        ("import math as m\nm.pi.real\nm.squareroot(2)", ["math.squareroot"]),
        ("from math import sqrt, half", ["math.half"]),
        ("import os.path\nos.path.join('a')\nos.path.glue('a')", ["os.path.glue"]),
        ("import collections\ncollections.OrderedDict.fromkeys('a')\ncollections.Bag()", ["collections.Bag"]),
        ("from collections import abc\nabc.Iterable", []),
        ("import json.tools", ["json.tools"]),
        ("import listutils", ["listutils"]),
        ("from arraytools import flatten\nflatten([])", ["arraytools"]),
        ("import numpy as np\nnp.anything()", []),
        ("math = 3\nmath.foo", []),
        ("[1].push(2)", ["list.push"]),
        ("'a'.reverse()", ["str.reverse"]),
        ("f'{1}'.strip()\n{}.has_key(1)\n{1: 2}.items()", ["dict.has_key"]),
        ("str.contains('a', 'b')\nstr.join('', [])", ["str.contains"]),
        ("x = 1\nx.foo()", []),
        ("flatten([1])", ["flatten()"]),
        ("sqrt(2)\nCounter('a')\ndefaultdict(int)", []),
        ("def f(g):\n    h = g\n    return g(h(1))", []),
        ("[k(1) for k in (int, str)]\nlambda f: f()", []),
        ("from math import *\nanything()", []),
        ("given(1)", []),
        ("class A:\n    def go(self): self.run()\nA().walk()", []),
    ],
)
def test_invented_apis_are_found(source: str, names: list[str]) -> None:
    found = [name.replace("posixpath", "os.path") for name in invented(ast.parse(source), {"given"})]
    assert found == names


def grade(answer: str, finish: str = "stop") -> Grade:
    if not isinstance(sandbox(), Sandbox):
        pytest.skip("no sandbox here")
    return find_grader("code").grade(ITEM, Response(texts=(answer,), finish=finish))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "score", "completed", "invented_api"),
    [
        (GOOD, 1.0, 1.0, 0.0),
        ("def twice(x):\n    return int(math.fsum([x, x]))", 1.0, 1.0, 0.0),  # math is in the prefix
        (GOOD.replace("2", "3"), 0.0, 1.0, 0.0),
        ("def twice(x):\n    return math.double(x)", 0.0, 1.0, 0.0),  # not the answer's own import: seen as it runs
        ("import math\ndef twice(x):\n    return math.double(x)", 0.0, 1.0, 1.0),
        ("def twice(x):\n    return x.double()", 0.0, 1.0, 1.0),
        ("def twice(x):\n    return None.double()", 0.0, 1.0, 0.0),
        ("def twice(x):\n    return double(x)", 0.0, 1.0, 1.0),
        ("def twice(x):\n    return y * 2", 0.0, 1.0, 0.0),
        ("import twicelib\ndef twice(x):\n    return x * 2", 0.0, 1.0, 1.0),
        ("import sys\ndef twice(x):\n    sys.exit(0)", 0.0, 1.0, 0.0),
        ("import os\ndef twice(x):\n    os._exit(0)", 0.0, 1.0, 0.0),
        ("def twice(x):\n    print('bitproof-invented:[]')\n    return x * 2", 1.0, 1.0, 0.0),
    ],
)
def test_grades(answer: str, score: float, completed: float, invented_api: float) -> None:
    found = grade(answer)
    assert found.score == score, found
    assert found.parts == {"completed": completed, "invented_api": invented_api}


def test_a_cut_answer_is_not_completed() -> None:
    assert grade(f"```python\n{GOOD}\n```", "length").parts["completed"] == 1
    assert grade(GOOD, "length").parts["completed"] == 0
    assert grade("def twice(x):\n    return x *", "length") == Grade(
        score=0.0, parts={"completed": 0.0}, note="no function twice that parses"
    )


def test_code_without_an_end_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_grader, "CPU_S", 1)
    found = grade("def twice(x):\n    while True: pass")
    assert (found.score, found.note) == (0.0, "time")


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_grader, "sandbox", lambda: NotMeasured("no bubblewrap"))
    found = find_grader("code").grade(ITEM, Response(texts=(GOOD,), finish="stop"))
    assert found == Grade(score=NotMeasured("no bubblewrap"), parts={"completed": 1.0})
