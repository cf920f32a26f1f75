"""Slice `json-real`: configuration files to the real schemas that the package `check-jsonschema` ships (Apache-2.0).

Its schema files are read; its code is never imported. What to write is told as paths and values
("updates[0].directory = /docs"), so that exactly one document is asked for; the schema, too long for a prompt, stays
with the grader. Levels:

1. the values of a small file, after an example of the same kind with other values;
2. the same without the example;
3. more values, without the example.

A cluster is a kind of file; there are too few of them to gate on.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from bitproof.errors import MissingPartError
from bitproof.evaluate.suite.slice import Slice, few_shot
from bitproof.types import Item

__all__ = ["FILES", "SLICE", "schema_of"]

Json = dict[str, Any]

# By schema: what the file is called, a small file, and what a larger one has besides. $word, $other and $n are drawn.
FILES: dict[str, tuple[str, Json, Json]] = {
    "bitbucket-pipelines": (
        "Bitbucket pipeline",
        {"image": "$word:$n", "pipelines": {"default": [{"step": {"name": "$other", "script": ["make $word"]}}]}},
        {"options": {"max-time": "#n"}, "clone": {"depth": "#n"}},
    ),
    "buildkite": (
        "Buildkite pipeline",
        {"steps": [{"label": "$word", "command": "make $other"}]},
        {"env": {"MODE": "$word", "LEVEL": "$n"}, "agents": {"queue": "$other"}},
    ),
    "citation-file-format": (
        "citation file",
        {
            "cff-version": "1.2.0",
            "message": "Please cite $word.",
            "title": "$word $n",
            "authors": [{"family-names": "$other", "given-names": "Ada"}],
        },
        {"version": "1.$n", "license": "MIT", "keywords": ["$word", "$other"]},
    ),
    "cloudbuild": (
        "Cloud Build configuration",
        {"steps": [{"name": "gcr.io/$word/docker", "args": ["build", "$other"]}], "timeout": "$ns"},
        {"images": ["gcr.io/$word/$other"], "tags": ["$other"], "logsBucket": "gs://$word"},
    ),
    "codecov": (
        "Codecov configuration",
        {"coverage": {"precision": 2, "status": {"project": {"default": {"target": "$n%", "threshold": "1%"}}}}},
        {"ignore": ["$word", "$other"], "comment": {"layout": "diff", "require_changes": True}},
    ),
    "compose-spec": (
        "Compose file",
        {"services": {"$word": {"image": "$other:$n", "ports": ["80$n:80"]}}},
        {"volumes": {"$other-data": {"driver": "local"}}, "networks": {"$word-net": {"internal": True}}},
    ),
    "dependabot": (
        "Dependabot configuration",
        {
            "version": 2,
            "updates": [{"package-ecosystem": "npm", "directory": "/$word", "schedule": {"interval": "weekly"}}],
        },
        {"registries": {"$other": {"type": "npm-registry", "url": "https://$word.example.com", "token": "$n"}}},
    ),
    "drone-ci": (
        "Drone pipeline",
        {
            "kind": "pipeline",
            "type": "docker",
            "name": "$word",
            "steps": [{"name": "$other", "image": "alpine:$n", "commands": ["make"]}],
        },
        {"clone": {"depth": "#n"}, "trigger": {"branch": ["$word", "$other"]}},
    ),
    "github-actions": (
        "GitHub action",
        {"name": "$word", "description": "Runs $other.", "runs": {"using": "node20", "main": "dist/$word.js"}},
        {"author": "$other", "inputs": {"$word": {"description": "The $other.", "required": True, "default": "$n"}}},
    ),
    "github-issue-config": (
        "GitHub issue template configuration",
        {"contact_links": [{"name": "$word", "url": "https://$other.example.com/$n", "about": "Ask $other."}]},
        {"blank_issues_enabled": False},
    ),
    "github-workflows": (
        "GitHub workflow",
        {
            "name": "$word",
            "on": {"push": {"branches": ["$other"]}},
            "jobs": {"test": {"runs-on": "ubuntu-latest", "timeout-minutes": "#n", "steps": [{"run": "make $word"}]}},
        },
        {"env": {"MODE": "$other"}, "concurrency": {"group": "$word", "cancel-in-progress": True}},
    ),
    "readthedocs": (
        "Read the Docs configuration",
        {
            "version": 2,
            "build": {"os": "ubuntu-22.04", "tools": {"python": "3.11"}},
            "sphinx": {"configuration": "$word/conf.py"},
        },
        {"formats": ["pdf", "epub"], "python": {"install": [{"requirements": "$other/$n.txt"}]}},
    ),
    "taskfile": (
        "Taskfile",
        {"version": "3", "tasks": {"$word": {"desc": "Run $other", "cmds": ["make $other -j$n"]}}},
        {"vars": {"MODE": "$word"}, "silent": True, "output": "prefixed"},
    ),
    "woodpecker-ci": (
        "Woodpecker pipeline",
        {"steps": [{"name": "$word", "image": "$other:$n", "commands": ["make $word"]}]},
        {"labels": {"platform": "linux"}, "skip_clone": True, "depends_on": ["$other"]},
    ),
}
_WORDS = "amber birch cobalt dune ember falcon granite harbor iris jasper kestrel lotus maple nimbus onyx pebble quartz"
WORDS = _WORDS.split()


@cache
def schema_of(name: str) -> Json:
    """A schema of the package by the name of its file; raises MissingPartError without the package."""
    spec = find_spec("check_jsonschema")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "builtin_schemas", "vendor", f"{name}.json")
        if path.is_file():
            schema: Json = json.loads(path.read_text(encoding="utf-8"))
            return schema
    raise MissingPartError(
        f"the schema of {name} is read from the package check-jsonschema, which is not installed",
        where="slice json-real",
        remedy="pip install --no-deps check-jsonschema",
    )


def _filled(value: Any, words: dict[str, str], number: int) -> Any:
    """The value with its placeholders replaced; "#n" is the number itself."""
    if isinstance(value, dict):
        return {_filled(key, words, number): _filled(each, words, number) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, words, number) for each in value]
    if not isinstance(value, str):
        return value
    if value == "#n":
        return number
    for name, word in words.items():
        value = value.replace(name, word)
    return value.replace("$n", str(number))


def _paths(value: Any, path: str = "") -> list[str]:
    """A line for each leaf: `updates[0].directory = "/docs"`."""
    if isinstance(value, dict):
        dot = "." if path else ""
        return [line for key, each in value.items() for line in _paths(each, f"{path}{dot}{key}")]
    if isinstance(value, list):
        return [line for index, each in enumerate(value) for line in _paths(each, f"{path}[{index}]")]
    return [f"{path} = {json.dumps(value)}"]


def _drawn(random: Random, name: str, large: bool) -> Json:
    _, small, more = FILES[name]
    word, other = random.sample(WORDS, 2)
    value: Json = _filled(small | more if large else small, {"$word": word, "$other": other}, random.randint(11, 59))
    return value


def _make(random: Random, cluster: str, level: float) -> Item:
    value, other = (_drawn(random, cluster, level == 3) for _ in range(2))
    while other == value:
        other = _drawn(random, cluster, level == 3)
    shown = [(other, json.dumps(other))] if level == 1 else []
    ask = f"Write this {FILES[cluster][0]} as JSON. Answer with the JSON only.\n\n"
    messages = few_shot((ask + "\n".join(_paths(each)), answer) for each, answer in (*shown, (value, "")))
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=messages,
        grader="json",
        gold={"value": value, "extra": True},
        right=json.dumps(value),
        wrong=json.dumps(other),
        schema=schema_of(cluster),
        max_tokens=128 if level < 3 else 192,
    )


SLICE = Slice(
    name="json-real",
    title="JSON to real schemas",
    what="a configuration file as JSON that satisfies the real schema of its kind and holds the values told",
    clusters=tuple(FILES),
    levels=(1, 2, 3),
    unit="step (example, none, more values)",
    make=_make,
    context_tokens=lambda _: 500,
    needs=("check-jsonschema",),
    gates=False,
)
