"""The data of the audit's benchmark: what real servers of the dithered master answer to prompts kept out of profiles.

    python -m benchmarks.audit_served --answers FOLDER --profile FILE [--engines ...] [--classes ...] [--settings ...]

asks every class of every engine that serves it, one server at a time. A file of answers that is there is not asked for
again, so a run that was interrupted goes on. What the classes are says `audit_classes.py`, what the engines are
`audit_engines.py`, what is kept and how `audit_cache.py`. An hour and a half on two cores.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.audit_cache import Answer, seed_of, write_answers
from benchmarks.audit_classes import (
    DECOYS,
    KV,
    NATIVE_INT4,
    NINE,
    REFERENCE,
    ROUNDS_ACTIVATIONS,
    SCALE,
    UNKNOWN,
    Workshop,
    build_ladder,
)
from benchmarks.audit_decoys import MAKERS
from benchmarks.audit_engines import Served, altered, serve
from benchmarks.dither import dithered_master
from bitproof.audit.choosing import first_tokens
from bitproof.audit.probes import probe_texts
from bitproof.audit.profile import Profile, read_profile
from bitproof.audit.seeded import TOP_K
from bitproof.engines.generation import Completion, Request
from bitproof.quantize.artifact import versions
from bitproof.types import Message

PROBES, PROBE_SEED = 240, 1
MOST_ERRORS = 0.01


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What every hold-out prompt is asked: `samples` answers of `max_tokens` tokens.

    `chosen`: only the prompts that an audit of first tokens asks with the hold-out profile.
    """

    temperature: float
    max_tokens: int
    top_logprobs: int
    samples: int
    chosen: bool = False
    top_k: int = 0


SETTINGS = {
    "seeded1": Setting(temperature=1.0, max_tokens=1, top_logprobs=0, samples=20, chosen=True, top_k=TOP_K),
    "first1": Setting(temperature=1.0, max_tokens=1, top_logprobs=0, samples=80, chosen=True),
    "greedy8": Setting(temperature=0.0, max_tokens=8, top_logprobs=20, samples=1),
    "sampled24": Setting(temperature=1.0, max_tokens=24, top_logprobs=0, samples=4),
}

WEIGHT_ONLY = tuple(name for name in NINE if name not in (*ROUNDS_ACTIVATIONS, KV))
IN_VLLM = (*(name for name in NINE if name != "fp8-rtn-channel"), NATIVE_INT4)
GREEDY_DECOYS = tuple(name for name in DECOYS if name != "decoy-temperature")

# (setting, engine, classes), in the order in which they are asked. FP8 activations have no usable kernel in vLLM on a
# CPU, llama.cpp rounds activations in a way of its own: those classes are served where they are themselves.
PLAN: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("greedy8", "vllm-batched", IN_VLLM),
    ("greedy8", "llamacpp", WEIGHT_ONLY),
    ("greedy8", "vllm", (REFERENCE, "w8a16-rtn-channel", "w8a8-rtn-channel", KV, NATIVE_INT4)),
    ("greedy8", "transformers-batched", (REFERENCE, "w8a8-rtn-channel", "fp8-rtn-channel", KV)),
    ("greedy8", "transformers-batched-float32", (REFERENCE, "fp8-rtn-channel")),
    ("greedy8", "llamacpp", SCALE),
    ("greedy8", "vllm-batched", SCALE),
    ("greedy8", "llamacpp", (*UNKNOWN, *GREEDY_DECOYS)),
    ("first1", "vllm-batched", (*IN_VLLM, "decoy-temperature")),
    ("first1", "llamacpp", (*WEIGHT_ONLY, "decoy-temperature")),
    ("greedy8", "vllm-batched", (*UNKNOWN, *GREEDY_DECOYS)),
    ("seeded1", "llamacpp", WEIGHT_ONLY),
    ("sampled24", "vllm-batched", IN_VLLM),
    ("sampled24", "llamacpp", (REFERENCE,)),
)


def requests(setting: Setting, probes: Sequence[int], engine: str, name: str) -> Iterator[Request]:
    """Each probe under the key PROBE.SAMPLE, by messages only."""
    texts = probe_texts(PROBES, seed=PROBE_SEED)
    for probe, sample in product(probes, range(setting.samples)):
        key = f"{probe}.{sample}"
        yield Request(
            key=key,
            messages=(Message(role="user", content=texts[probe]),),
            max_tokens=setting.max_tokens,
            temperature=setting.temperature,
            top_logprobs=setting.top_logprobs,
            seed=seed_of(engine, name, key),
            top_k=setting.top_k,
        )


def chosen_probes(profile: Profile) -> list[int]:
    """The hold-out prompts that an audit of first tokens asks with a profile of them."""
    numbers = {text: number for number, text in enumerate(probe_texts(PROBES, seed=PROBE_SEED))}
    return [numbers[profile.probes[probe]] for probe in first_tokens(profile)]


def ask(
    served: Served, engine: str, name: str, setting_name: str, probes: Sequence[int], shop: Workshop, path: Path
) -> float:
    """Ask a server everything that a setting asks, and write its answers; gives the seconds that took."""
    setting, decode = SETTINGS[setting_name], shop.reference.tokenizer.decode
    answers: list[Answer] = []
    errors: list[str] = []

    def keep(completion: Completion) -> None:
        answers.append(Answer.of(completion, lambda token: str(decode([token]))))
        errors.extend([completion.error] if completion.error else [])

    began = time.monotonic()
    asked = requests(setting, probes, engine, name)
    served.engine.generate((altered(name, request) for request in asked), keep)
    seconds = time.monotonic() - began
    if len(errors) > MOST_ERRORS * len(answers):
        raise RuntimeError(f"{engine} {name} {setting_name}: {len(errors)} answers failed, first: {errors[0]}")
    header: dict[str, Any] = {
        "engine": engine,
        "class": name,
        "setting": setting_name,
        "model_digest": served.model_digest,
        "settings": {**served.settings, **asdict(setting), "probes": len(probes), "probe_seed": PROBE_SEED},
        "versions": {**versions(), "engine": served.version},
        "seconds": round(seconds, 1),
    }
    write_answers(path, header, answers)
    return seconds


def run(engine: str, name: str, setting: str, probes: Sequence[int], shop: Workshop, answers: Path) -> None:
    """Serve one class in one engine and ask what a setting asks, unless that was done."""
    file = answers / engine / name / f"{setting}.jsonl"
    if file.exists():
        return
    began = time.monotonic()
    with serve(engine, name, shop) as served:
        up = time.monotonic() - began
        seconds = ask(served, engine, name, setting, probes, shop, file)
    print(f"{engine} {name} {setting}: up after {up:.0f} s, answered in {seconds:.0f} s", flush=True)


def main() -> None:
    """Command line of the cache."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_served", description=main.__doc__)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="where models and the ladder lie (default: beside the answers)")
    parser.add_argument("--ladder", type=Path, help="a ladder that is built (default: built in the work folder)")
    parser.add_argument("--profile", type=Path, help="of the hold-out prompts, to choose those asked for first tokens")
    for option in ("--engines", "--classes", "--settings"):
        parser.add_argument(option, nargs="+", metavar="NAME", help="these only")
    parser.add_argument(
        "--for", dest="most_s", type=float, default=math.inf, metavar="SECONDS", help="start no more then"
    )
    options = parser.parse_args()
    until = time.monotonic() + options.most_s
    work = options.work or options.answers.parent / f"{options.answers.name}-work"
    master, ladder = dithered_master(seed=0), options.ladder or work / "ladder"
    if not ladder.exists():
        build_ladder(master, ladder)
    shop = Workshop(master, ladder, work / "models", MAKERS)
    chosen = chosen_probes(read_profile(options.profile)) if options.profile else None
    only = {"engine": options.engines, "class": options.classes, "setting": options.settings}
    for setting, engine, name in ((setting, engine, name) for setting, engine, names in PLAN for name in names):
        one = {"engine": engine, "class": name, "setting": setting}
        probes = chosen if SETTINGS[setting].chosen else range(PROBES)
        wanted = all(not only[key] or one[key] in only[key] for key in one)
        if wanted and probes is not None and time.monotonic() < until:
            run(engine, name, setting, probes, shop, options.answers)


if __name__ == "__main__":
    main()
