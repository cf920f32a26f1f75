"""The answer is JSON that satisfies the item's schema, with the right values.

`gold`: {"value": ..., "extra": false}. With "extra", objects may hold further keys (where the schema lets them). Words
around the JSON do not cost the score, because a client can cut them off; part "only_json" says whether there were any.
Parts: "valid_json", "only_json", "valid_schema", "values" (the values are right, whether the schema holds or not);
score = valid_schema and values.
"""

from __future__ import annotations

from functools import lru_cache
from json import dumps, loads
from typing import Any

from jsonschema import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.json_text import Absent, find_json, same_json
from bitproof.types import Grade, Item, NotMeasured, Response

__all__ = ["GRADER"]


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    """A validator that fetches nothing; raises SchemaError."""
    loaded = loads(schema)
    kind = validator_for(loaded, default=Draft202012Validator)
    kind.check_schema(loaded)
    return kind(loaded, registry=Registry())


def _right(found: Any, gold: Any, extra: bool) -> bool:
    if extra and isinstance(found, dict) and isinstance(gold, dict):
        return all(key in found and _right(found[key], value, extra) for key, value in gold.items())
    if extra and isinstance(found, list) and isinstance(gold, list):
        return len(found) == len(gold) and all(_right(*pair, extra) for pair in zip(found, gold, strict=True))
    return same_json(found, gold)


def grade(item: Item, response: Response) -> Grade:
    """1 where the JSON satisfies the schema and its values are right, else 0."""
    value, alone = find_json("" if response.finish == "error" else response.text)
    if isinstance(value, Absent):
        return Grade(
            score=0.0, parts=dict.fromkeys(("valid_json", "only_json", "valid_schema", "values"), 0.0), note="no JSON"
        )
    try:
        problem = next(_validator(dumps(item.schema or {})).iter_errors(value), None)
    except SchemaError as error:
        return Grade(score=NotMeasured(f"the item's schema is not valid: {error.message}"))
    except (Unresolvable, RecursionError) as error:
        return Grade(score=NotMeasured(f"the item's schema cannot be applied: {error}"))
    values = _right(value, item.gold["value"], item.gold.get("extra", False))
    parts = {"valid_json": 1.0, "only_json": float(alone), "valid_schema": float(not problem), "values": float(values)}
    return Grade(
        score=float(values and not problem),
        parts=parts,
        note=f"{problem.json_path}: {problem.message}" if problem else "",
    )


GRADER = Grader(name="json", version=2, judge=grade)
