"""One way in: items from whatever the user gives, told apart by content."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from bitproof.errors import UsageError
from bitproof.evaluate.importers.huggingface import find_set, from_hub, read_folder, read_set
from bitproof.evaluate.importers.lm_eval import read_lm_eval
from bitproof.evaluate.importers.own import items_from, read_own
from bitproof.evaluate.importers.promptfoo import read_promptfoo
from bitproof.evaluate.importers.source import compose, read_records
from bitproof.evaluate.suite.registry import slices
from bitproof.types import Item

__all__ = ["load_items"]

HUB = "hf:"
_NUMBER = re.compile(r"-?[\d.]+(?:e[-+]?\d+)?")
REMEDY = "Give a .jsonl, .json, .yaml or .parquet file, a folder of a Hugging Face set, or hf:owner/name."


def load_items(*sources: str | Path) -> list[Item]:
    """The items of files, folders or data sets of the hub (`hf:openai/gsm8k`), checked, with ids that are unique.

    YAML with `doc_to_text` is an lm-eval task, with `prompts` a promptfoo configuration, else own items; JSON, JSONL
    and parquet are own items, or a Hugging Face set that their columns tell. Raises UsageError (also UnsupportedError)
    with file, line and remedy, MissingPartError, and EnvironmentFailed where the hub cannot be reached.
    """
    found: dict[str, tuple[str | Path, Item]] = {}
    for source in sources:
        items = _items(source)
        if not items:
            raise UsageError("holds no item", where=str(source), remedy=REMEDY)
        for item in items:
            if item.id in found:
                taken = "stands there twice" if found[item.id][0] == source else f"is taken by {found[item.id][0]}"
                raise UsageError(f"the id {item.id!r} {taken}", where=str(source), remedy="Every item needs its own.")
            if _is_the_suites(item.id):
                raise UsageError(
                    f"the id {item.id!r} is one of the suite's own slice {item.id.partition('/')[0]}",
                    where=str(source),
                    remedy="Give it another: SLICE/SEED/LEVEL/NUMBER are the ids of generated items.",
                )
            found[item.id] = (source, item)
    return [item for _, item in found.values()]


def _is_the_suites(name: str) -> bool:
    """Whether a generated item has this id, or would have it with some seed."""
    slice_, *numbers = name.split("/")
    return slice_ in slices() and len(numbers) == 3 and all(_NUMBER.fullmatch(number) for number in numbers)


def _items(source: str | Path) -> list[Item]:
    if isinstance(source, str) and source.startswith(HUB):
        return from_hub(source.removeprefix(HUB))
    path = Path(source)
    if path.is_dir():
        return read_folder(path)
    if not path.is_file():
        what = "is no regular file" if path.exists() else "there is no such file"
        raise UsageError(what, where=str(source), remedy=REMEDY)
    match path.suffix.lower():
        case ".yaml" | ".yml":
            return _from_yaml(path)
        case ".jsonl" | ".json" | ".ndjson":
            records = read_records(path)
            if records and find_set(set(records[0].values)):
                return read_set(path, records=records)
            return items_from(records, path)
        case ".parquet":
            return read_set(path)
    raise UsageError(f"the ending {path.suffix!r} is no form of items", where=str(path), remedy=REMEDY)


def _from_yaml(path: Path) -> list[Item]:
    root = compose(path)
    keys = {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    if "doc_to_text" in keys or {"task", "output_type"} <= keys or {"task", "include"} <= keys:
        return read_lm_eval(path)
    return read_promptfoo(path) if "prompts" in keys else read_own(path)
