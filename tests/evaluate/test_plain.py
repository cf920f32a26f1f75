"""Records to JSON and back: nothing is lost, and nothing else is read."""

import json
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitproof.errors import UsageError
from bitproof.evaluate.plain import read_as, read_json, to_plain
from bitproof.evaluate.records import Answered
from bitproof.evaluate.results import Evaluation, GateOutcome, VariantResult
from bitproof.evaluate.speed_results import SpeedReport
from bitproof.report.json_ import to_json
from bitproof.types import Estimate, Item, ItemPair, Measurement, NotMeasured, SliceComparison

TEXT = st.text(st.characters() | st.just("\ud83d"), max_size=6)
NUMBER = st.floats(allow_infinity=False, allow_nan=False) | st.integers(-9, 9)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT | st.just("not_measured"), inner, max_size=2),
    max_leaves=4,
)
SCALARS: dict[Any, Any] = {
    str: TEXT,
    int: st.integers(-(2**63) + 1, 2**63 - 1),
    bool: st.booleans(),
    NoneType: st.none(),
    NotMeasured: st.builds(NotMeasured, TEXT),
    Any: JSON,
}


def records_of(kind: Any, *, nan: bool = True) -> Any:
    """Any record of a kind that an annotation allows; a number that may be absent is never NaN."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is float:
        return NUMBER | st.just(math.nan) if nan else NUMBER
    if kind in SCALARS:
        return SCALARS[kind]
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in (Union, UnionType):
        return st.one_of([records_of(part, nan=NoneType not in parts) for part in parts])
    if origin is tuple and parts[1:] == (...,):
        return st.lists(records_of(parts[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(records_of(part) for part in parts))
    if origin is dict:
        return st.dictionaries(TEXT | st.just("not_measured"), records_of(parts[1]), max_size=2)
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: records_of(hints[field.name]) for field in fields(kind)})


@pytest.mark.parametrize(
    "kind",
    [
        Estimate,
        Item,
        ItemPair,
        SliceComparison,
        GateOutcome,
        Measurement,
        VariantResult,
        Evaluation,
        Answered,
        SpeedReport,
    ],
)
def test_what_is_written_is_read_as_it_was(kind: Any):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(records_of(kind))
    def same(record: Any) -> None:
        text = to_json(record)
        found = read_as(kind, json.loads(text), where="x")
        assert repr(found) == repr(record)  # repr: NaN is NaN, and 1 is not 1.0
        assert to_json(found) == text

    same()


ESTIMATE = {"value": 0.5, "low": None, "high": 1, "n": 3, "n_clusters": 2, "level": 0.9, "method": "t"}


def test_a_figure_that_is_null_is_nan_and_a_field_that_is_new_has_its_default():
    found = read_as(Estimate, {key: ESTIMATE[key] for key in ("value", "low", "high", "n", "n_clusters")}, where="x")
    assert math.isnan(found.low)
    assert (found.high, found.level, found.method) == (1, 0.95, "cluster t")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vlaue": 1}, "x: 'vlaue' is unknown here"),
        ({"n": 2.5}, "x, n: 2.5 is not a whole number"),
        ({"n": True}, "x, n: true is not a whole number"),
        ({"n": 2**63}, "x, n: 9223372036854775808 is not a whole number"),
        ({"value": 10**400}, "000... is not a number"),
        ({"n": None}, "x, n: null is not a whole number"),
        ({"value": "0.5"}, 'x, value: "0.5" is not a number'),
        ({"value": {"not_measured": "why"}}, "is not a number"),
        ({"method": ["t"]}, 'x, method: ["t"] is not a text'),
        ({"method": "y" * 100, "n": "y" * 100}, "yyy... is not a whole number"),
    ],
)
def test_a_damaged_record_says_where_and_what(change: dict[str, Any], words: str):
    with pytest.raises(UsageError) as caught:
        read_as(Estimate, ESTIMATE | change, where="x")
    assert words in str(caught.value)
    assert "with the same --out" in str(caught.value)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ([], "x: [] is not an object with variant, "),
        ({}, "x: 'variant' is missing, 'slice' is missing, 'n_items' is missing"),
        ({"difference": 3}, "x, difference: 3 is not an object with value, low, high, n, ... or the reason"),
        ({"difference": {"not_measured": 3}}, "x, difference: 3 is not a text"),
        ({"difference": {"not_measured": "a", "n": 3}}, "'not_measured' is unknown here"),
        ({"parts": {"a": [1]}}, "x, parts['a']: [1] is not 2 values"),
        ({"parts": {"a": [1, "b"]}}, "x, parts['a'][1]: \"b\" is not a number"),
    ],
)
def test_a_damaged_comparison_says_where(plain: Any, words: str):
    absent = {"not_measured": "no"}
    whole = {"variant": "v", "slice": "s", "n_items": 1, "n_clusters": 1, "difference": absent}
    whole |= {"reference_score": absent, "variant_score": absent}
    with pytest.raises(UsageError) as caught:
        read_as(SliceComparison, whole | plain if plain else plain, where="x")
    assert words in str(caught.value)


def test_a_choice_that_is_none_names_those_there_are():
    plain = {"variant": "v", "outcome": "maybe", "tested": True, "gates": [], "why": ""}
    from bitproof.evaluate.results import RungOutcome

    with pytest.raises(UsageError, match=r'"maybe" is not pass or fail or inconclusive or not measurable'):
        read_as(RungOutcome, plain, where="x")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": NaN}', b"\xff\xfe\x00", b"[" * 100_000, b"1" * 5000])
def test_a_file_that_is_no_json_is_one_paragraph(tmp_path: Path, content: bytes):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.json: this is not JSON \(") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.json", "a.json/b.json", "."])
def test_a_file_that_is_not_there(tmp_path: Path, name: str):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError, match="there is no such file"):
        read_json(tmp_path / name)


def test_infinity_is_written_as_unknown():
    assert to_plain(math.inf) is None
