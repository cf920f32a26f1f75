"""Variant names: one grammar, read by one parser.

``SCHEME[-METHOD[.METHOD]][-gN|-channel|-tensor][-asym][+kvFORMAT]``, lower case. What is left out is filled in and
shown: the canonical name states every choice. The name is for people; identity is the digest of the configuration.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import asdict, replace

from bitproof.errors import VariantError
from bitproof.formats.number import NumberFormat
from bitproof.quantize.methods import METHODS, STAGES, load_extensions
from bitproof.quantize.schemes import GGUF_BLOCKS, GGUF_K_QUANTS, KV_FORMATS, SCHEMES, Scheme
from bitproof.types import Variant

LEGAL_GROUPS = (1024, 512, 256, 192, 128, 96, 64, 48, 32, 16, 8)


def legal_names() -> dict[str, str]:
    """Every scheme, method and suffix a name may hold, and what it means."""
    load_extensions()
    return {
        **{name: scheme.meaning for name, scheme in SCHEMES.items()},
        **{f"gguf-{name}": f"GGUF {name.upper()} blocks, solved here" for name in GGUF_BLOCKS},
        **{
            f"gguf-{name}": f"GGUF {name.upper()}, made by llama-quantize with our importance" for name in GGUF_K_QUANTS
        },
        "mixN": "INT2 to INT8 weights, N bits per weight on average, chosen by measured sensitivity (mix4.5)",
        **{f"-{method.name}": method.meaning for method in METHODS.values()},
        "-gN": "one scale for N columns (default: groups of 128 where they divide, else the largest legal group)",
        "-channel": "one scale for an output channel",
        "-tensor": "one scale for a tensor",
        "-asym": "a zero point beside each scale",
        "+kvfp8": "FP8 KV cache",
        "+kvfp8rz": "FP8 KV cache, rounded towards zero, as vLLM does on a CPU",
        "+kvint8": "INT8 KV cache, scaled per token and head",
        "+kvint4": "INT4 KV cache, scaled per token and head",
    }


def parse_variant(name: str) -> Variant:
    """Read a variant's name, e.g. `w4a16-gptq-g64` or `w4a16-awq.gptq-g64+kvfp8`.

    Raises VariantError for an unknown part (with the nearest legal ones) or an impossible combination.
    """
    load_extensions()
    text = name.strip()
    body, _, kv_text = text.partition("+")
    kv = _parse_kv(name, kv_text) if kv_text else None
    if "+" in text and not kv_text:
        raise VariantError("nothing follows the '+'", where=name, remedy="E.g. +kvfp8, +kvint8, +kvint4.")
    scheme, parts = _split_scheme(name, body)
    if scheme.startswith("gguf-") and scheme[5:] in GGUF_K_QUANTS:
        _no_more(name, parts)
        return _finish(name, scheme, (), None, None, kv, gguf_type=scheme[5:].upper())
    if scheme.startswith("mix"):
        budget = float(scheme[3:])
        rule = Scheme("", SCHEMES["w4a16"].weights, None, ("group", "channel"), True)
        weights, methods = _parse_parts(name, rule, parts)
        said = any(set(part.split(".")) <= set(METHODS) for part in parts)  # rtn leaves no trace in `methods`
        return _finish(
            name, f"mix{budget:g}", methods if said else ("scaled", "gptq"), weights, None, kv, budget=budget
        )
    if scheme.startswith("gguf-"):
        weights, methods = _parse_parts(name, Scheme("", GGUF_BLOCKS[scheme[5:]]), parts)
        return _finish(name, scheme, methods, weights, None, kv)
    rule = SCHEMES[scheme]
    weights, methods = _parse_parts(name, rule, parts)
    return _finish(name, scheme, methods, weights, rule.activations, kv)


def _split_scheme(name: str, body: str) -> tuple[str, list[str]]:
    """The longest known scheme that the name begins with, and the parts after it."""
    known = [*SCHEMES, *(f"gguf-{block}" for block in (*GGUF_BLOCKS, *GGUF_K_QUANTS))]
    for scheme in sorted(known, key=len, reverse=True):
        if body == scheme or body.startswith(scheme + "-"):
            return scheme, body[len(scheme) :].split("-")[1:]
    head, *rest = body.split("-")
    if match := re.fullmatch(r"mix(\d+(?:\.\d+)?)", head):
        if not 2 <= float(match[1]) <= 8:
            raise VariantError(
                f"a budget of {match[1]} bits cannot be met", where=name, remedy="mix2.25 to mix8 can be built."
            )
        return head, rest
    raise VariantError(
        f"there is no scheme {head!r}", where=name, remedy=_nearest(body, [*known, "mix4.5"], "bitproof variants")
    )


def _nearest(word: str, legal: list[str], command: str) -> str:
    """The legal words most like `word`, or like what it begins with."""
    parts = word.lower().split("-")
    starts = ["-".join(parts[: n + 1]) for n in range(len(parts))]
    alike = {each: max(difflib.SequenceMatcher(None, start, each).ratio() for start in starts) for each in legal}
    near = [each for each in sorted(legal, key=lambda each: -alike[each]) if alike[each] >= 0.3][:3]
    return f"Nearest: {', '.join(near) or 'none'}. `{command}` lists all."


def _no_more(name: str, parts: list[str]) -> None:
    if parts:
        raise VariantError(
            f"a K-quant takes no {'-'.join(parts)!r}: llama-quantize fixes it",
            where=name,
            remedy="Leave it out, or use one of gguf-q4_0, q4_1, q5_0, q5_1 and q8_0, which are solved here.",
        )


def _parse_kv(name: str, text: str) -> NumberFormat:
    if not text.startswith("kv") or text[2:] not in KV_FORMATS:
        raise VariantError(
            f"there is no KV cache format {text!r}", where=name, remedy="+kvfp8, +kvfp8rz, +kvint8 or +kvint4."
        )
    return KV_FORMATS[text[2:]]


def _parse_parts(name: str, rule: Scheme, parts: list[str]) -> tuple[NumberFormat, tuple[str, ...]]:
    weights, methods = rule.weights, tuple[str, ...]()
    group = rule.weights.group_size
    granularity: str = rule.weights.granularity
    fixed, said = rule.granularities == (), ""
    for part in parts:
        match = re.fullmatch(r"g(\d+)", part)
        if match or part in ("channel", "tensor"):
            if said:
                raise VariantError(f"has two granularities, {said} and {part}", where=name, remedy="Choose one.")
            said = part
            asked = "group" if match else part
            same = match is not None and group == int(match[1])
            if (fixed and not same) or (not fixed and asked not in rule.granularities):
                raise VariantError(
                    f"this scheme has no granularity {part!r}",
                    where=name,
                    remedy=f"Its granularity is fixed ({granularity}{group or ''})."
                    if fixed
                    else f"It has: {', '.join('gN' if g == 'group' else g for g in rule.granularities)}.",
                )
            granularity, group = asked, int(match[1]) if match else None
            if match and group is not None and group < 8:
                raise VariantError(f"groups of {group} are too small", where=name, remedy="-g16 to -g1024.")
        elif part == "asym":
            if not rule.asymmetric:
                raise VariantError("this scheme is symmetric only", where=name, remedy="Leave -asym out.")
            weights = replace(weights, symmetric=False)
        elif set(part.split(".")) <= set(METHODS):
            methods += tuple(part.split("."))
        else:
            legal = [*METHODS, "g64", "g128", "channel", "tensor", "asym"]
            raise VariantError(f"does not know {part!r}", where=name, remedy=_nearest(part, legal, "bitproof variants"))
    weights = replace(weights, granularity=granularity, group_size=group)  # type: ignore[arg-type]
    return weights, _check_methods(name, rule, methods)


def _check_methods(name: str, rule: Scheme, methods: tuple[str, ...]) -> tuple[str, ...]:
    """One method of each stage, in the order of the stages; `rtn` is what is left when nothing else is said."""
    stages = [METHODS[method].stage for method in methods]
    for stage in stages:
        if stages.count(stage) > 1:
            clash = [method for method in methods if METHODS[method].stage == stage]
            raise VariantError(f"{' and '.join(clash)} do the same part of the work", where=name, remedy="Choose one.")
    idle = [method for method in methods if METHODS[method].needs_activations and rule.activations is None]
    if idle:
        legal = ", ".join(scheme for scheme, each in SCHEMES.items() if each.activations)
        raise VariantError(
            f"{idle[0]} is for schemes that quantize activations, and this one does not",
            where=name,
            remedy=f"Use it with one of {legal}; for weights alone there is awq.",
        )
    ordered = sorted(methods, key=lambda method: STAGES.index(METHODS[method].stage))
    return tuple(method for method in ordered if method != "rtn")


def _finish(
    asked: str,
    scheme: str,
    methods: tuple[str, ...],
    weights: NumberFormat | None,
    activations: NumberFormat | None,
    kv: NumberFormat | None,
    *,
    budget: float | None = None,
    gguf_type: str | None = None,
) -> Variant:
    variant = Variant(
        name="",
        asked=asked,
        scheme=scheme,
        methods=methods,
        weights=weights,
        activations=activations,
        kv=kv,
        bits_budget=budget,
        gguf_type=gguf_type,
    )
    return replace(variant, name=canonical_name(variant))


def canonical_name(variant: Variant) -> str:
    """The name with every choice stated (the group only once it is known: see `with_group`)."""
    parts = [variant.scheme]
    weights = variant.weights
    if variant.gguf_type is None:
        parts.append(".".join(variant.methods) or "rtn")
    if weights and _free(variant):
        if weights.granularity == "group":
            parts += [f"g{weights.group_size}"] if weights.group_size else []
        else:
            parts.append(weights.granularity)
        parts += [] if weights.symmetric else ["asym"]
    suffix = next((f"+kv{name}" for name, fmt in KV_FORMATS.items() if fmt == variant.kv), "")
    return "-".join(parts) + suffix


def _free(variant: Variant) -> bool:
    """Whether a name of this scheme may choose what shares a scale."""
    return variant.bits_budget is not None or bool(variant.scheme in SCHEMES and SCHEMES[variant.scheme].granularities)


def with_group(variant: Variant, widths: dict[str, int], *, fallback: bool = False) -> Variant:
    """The variant with its group size settled for linears of these input widths (name -> columns).

    Groups of 128 where they divide every width, else the largest of 64, 32, 16, 8 that does. Raises VariantError
    when a group size that was asked for does not divide, unless `fallback`: then those linears get the largest
    legal group below it when they are built, and the artifact says so. A format whose groups are fixed has no fallback.
    """
    weights = variant.weights
    acts = variant.activations
    if acts is not None and acts.granularity == "group":
        _fixed_groups(variant, acts, "activations", widths)
    if weights is None or weights.granularity != "group":
        return variant
    if weights.group_size is None:
        size = next((g for g in (128, 64, 32, 16, 8) if all(width % g == 0 for width in widths.values())), None)
        if size is None:
            raise VariantError("no group size divides every linear", where=variant.asked, remedy="Use -channel.")
        settled = replace(variant, weights=replace(weights, group_size=size))
        return replace(settled, name=canonical_name(settled))
    if not _free(variant):
        _fixed_groups(variant, weights, "weights", widths)
    bad = {name: width for name, width in widths.items() if width % weights.group_size}
    if bad and not fallback:
        legal = [g for g in LEGAL_GROUPS if all(width % g == 0 for width in widths.values())]
        raise VariantError(
            f"groups of {weights.group_size} do not divide {len(bad)} of {len(widths)} linears: {_kinds(bad)}",
            where=variant.asked,
            remedy=f"Legal for all: {', '.join(map(str, legal)) or 'none'}; or --fallback-group to give those linears"
            " the largest legal group and keep the rest.",
        )
    return variant


def _fixed_groups(variant: Variant, fmt: NumberFormat, what: str, widths: dict[str, int]) -> None:
    """Raise VariantError where the groups of a format that has only these do not divide a linear."""
    bad = {name: width for name, width in widths.items() if width % (fmt.group_size or 1)}
    if bad:
        raise VariantError(
            f"its groups of {fmt.group_size} {what} do not divide {len(bad)} of {len(widths)} linears: {_kinds(bad)}",
            where=variant.asked,
            remedy=f"{variant.scheme} has no other groups, so this model cannot have it; w4a16 and w8a8 can be had.",
        )


def _kinds(widths: dict[str, int]) -> str:
    return ", ".join(sorted({f"{name.split('.', 3)[-1]} ({width} columns)" for name, width in widths.items()}))


def group_for(weights: NumberFormat, width: int) -> NumberFormat:
    """The format for a linear of this width: the variant's own, or with the largest legal group below it."""
    size = weights.group_size
    if weights.granularity != "group" or not size or width % size == 0:
        return weights
    return replace(weights, group_size=next(g for g in range(size, 0, -1) if width % g == 0))


def digest(variant: Variant, settings: dict[str, object]) -> str:
    """Hex SHA-256 of the full configuration: the variant without its names, and what else shaped it."""
    record = {key: value for key, value in asdict(variant).items() if key not in ("name", "asked")}
    return hashlib.sha256(json.dumps({"variant": record, **settings}, sort_keys=True).encode()).hexdigest()
