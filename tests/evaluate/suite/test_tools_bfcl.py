import json
from importlib.util import find_spec

import pytest

from bitproof.errors import MissingPartError
from bitproof.evaluate.graders.tool_call import GRADER
from bitproof.evaluate.suite import tools_bfcl
from bitproof.evaluate.suite.slice import make_items
from bitproof.evaluate.suite.tools_bfcl import SLICE, rows
from bitproof.types import Response

ROW = {
    "id": "q_0",
    "question": [[{"role": "user", "content": "What is 2 to the 3?"}]],
    "function": [
        {
            "name": "math.power",
            "description": "Raise a base",
            "parameters": {
                "type": "dict",
                "properties": {
                    "base": {"type": "float"},
                    "args": {"type": "tuple", "items": {"type": "any"}, "optional": True},
                },
                "required": ["base"],
            },
        }
    ],
}
TRUTH = {"id": "q_0", "ground_truth": [{"math.power": {"base": [2], "args": ["", [3]]}}]}
WRONG = {"id": "q_0", "ground_truth": [{"math.power": {"base": [2], "_args": ["", [3]]}}]}  # no such argument


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of BFCL's shape, with 61 rows of each kind, and one that cannot be answered."""
    data = tmp_path / "bfcl_eval" / "data"
    (data / "possible_answer").mkdir(parents=True)
    (tmp_path / "bfcl_eval" / "__init__.py").write_text("raise ImportError('its code is never run')")
    for kind in ("simple_python", "multiple", "live_simple", "live_multiple", "irrelevance"):
        text = "\n".join(json.dumps(ROW | {"id": f"q_{n}"}) for n in range(62))
        (data / f"BFCL_v4_{kind}.json").write_text(text)
        text = "\n".join(json.dumps((TRUTH if n < 61 else WRONG) | {"id": f"q_{n}"}) for n in range(62))
        (data / "possible_answer" / f"BFCL_v4_{kind}.json").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    rows.cache_clear()
    yield
    rows.cache_clear()


def check(level: float, n: int) -> None:
    for item in make_items(SLICE, n, seed=1, level=level):
        assert item.right is not None
        assert item.wrong is not None
        assert GRADER.grade(item, Response(texts=(item.right,), finish="stop")).score == 1, item
        assert GRADER.grade(item, Response(texts=(item.wrong,), finish="stop")).score == 0
        assert all("." not in tool["name"] for tool in item.tools)


@pytest.mark.usefixtures("package")
def test_rows_become_items_whose_right_answer_is_right():
    for level in SLICE.levels:
        check(level, 120)


@pytest.mark.usefixtures("package")
def test_types_and_names_are_those_of_json_schema():
    (row, *others) = rows("simple_python")
    assert len(others) == 60
    assert row.name == row.functions[0]["name"] == "math_power"
    assert row.functions[0]["parameters"] == {
        "type": "object",
        "properties": {"base": {"type": "number"}, "args": {"type": "array", "items": {}}},
        "required": ["base"],
    }


@pytest.mark.usefixtures("package")
def test_where_no_function_fits_abstaining_is_right():
    items = make_items(SLICE, 300, seed=2, level=1)
    assert 30 < sum(item.gold["name"] is None for item in items) < 90  # 60 expected, standard deviation 7
    assert all(item.gold["name"] for item in make_items(SLICE, 60, seed=2, level=3))


def test_without_the_package_its_install_line_is_named(monkeypatch):
    monkeypatch.setattr(tools_bfcl, "find_spec", lambda name: None)
    rows.cache_clear()
    with pytest.raises(MissingPartError, match="pip install --no-deps bfcl-eval"):
        make_items(SLICE, 1, seed=0)
    rows.cache_clear()


@pytest.mark.skipif(find_spec("bfcl_eval") is None, reason="bfcl-eval is not installed")
def test_the_real_files():
    rows.cache_clear()
    kinds = ("simple_python", "multiple", "live_simple", "live_multiple", "irrelevance")
    assert all(len(rows(kind)) > 150 for kind in kinds)
    for level in SLICE.levels:
        check(level, 300)
