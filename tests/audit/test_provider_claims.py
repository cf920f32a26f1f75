"""Claims: what words mean, where they come from, and how they stand against an audit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitproof.audit.audit import audit
from bitproof.audit.meter import MeterReading
from bitproof.audit.plan import AuditPlan
from bitproof.audit.provider_claims import Claim, ask_it, claims_of, listed, precision_in
from bitproof.audit.provider_disclosed import compare
from bitproof.audit.provider_endpoints import Endpoint
from bitproof.audit.results import AuditReport
from bitproof.engines.generation import Completion
from bitproof.errors import UsageError

NAMES = ("reference", "w8a8-rtn-channel", "fp8a16-rtn-channel", "w4a16-rtn-g64", "bf16+kvfp8")


def endpoint(name: str = "a", **more: Any) -> Endpoint:
    return Endpoint(**{"name": name, "url": "https://x/v1", "model": "m", **more})


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("fp8", "fp8"),
        ("FP8 (E4M3)", "fp8"),
        ("Llama-3.3-70B-Instruct-FP8-dynamic", "fp8"),
        ("Meta-Llama-3.1-8B-Instruct-Turbo", "unknown"),
        ("Qwen2.5-7B-Instruct-GPTQ-Int4", "int4"),
        ("model.Q4_K_M.gguf", "int4"),
        ("w8a8", "int8"),
        ("bfloat16", "bf16"),
        ("MXFP4", "fp4"),
        ("half of it in 8-bit", "int8"),
        ("fp8 weights, bf16 cache", "unknown"),
        ("fp80", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_text_names_one_precision_or_none(text: str, precision: str):
    assert precision_in(text) == precision


def test_claims_come_from_the_file_the_endpoint_and_the_models_name_in_this_order(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("a: {precision: int8, source: 'its page'}\nb: FP4\n")
    one, two = endpoint("a", claimed="bf16", model="m-fp8"), endpoint("b")
    found = claims_of([one, two], tmp_path / "c.yaml")
    assert [(claim.precision, claim.source) for claim in found["a"]] == [
        ("int8", "its page"),
        ("bf16", "the endpoints file"),
        ("fp8", "its name of the model"),
    ]
    assert [claim.precision for claim in found["b"]] == ["fp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aa: fp8", "no endpoint is called 'aa'. Did you mean 'aaa'?"),
        ("aaa: [1]", "Write `aaa: fp8`"),
        ("- x", "no map"),
    ],
)
def test_a_wrong_claims_file_is_an_error(tmp_path: Path, text: str, message: str):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        claims_of([endpoint("aaa")], tmp_path / "c.yaml")
    assert message in str(caught.value)


def test_openrouters_list_gives_the_pinned_providers_claim_and_price():
    def entry(tag: str, owner: str, quantization: Any, price: str) -> dict[str, Any]:
        pricing = {"prompt": price, "completion": "0.0000004"}
        return {"tag": tag, "provider_name": owner, "quantization": quantization, "pricing": pricing}

    record = {
        "data": {
            "endpoints": [
                entry("deepinfra/bf16", "DeepInfra", "bf16", "0.00000003"),
                entry("deepinfra/turbo", "DeepInfra", "fp8", "0.00000002"),
                entry("novita", "Novita", None, "0.00000005"),
            ]
        }
    }
    claims, price = listed(endpoint(provider="deepinfra/bf16"), record)
    assert ([claim.precision for claim in claims], price) == (["bf16"], (0.03, 0.4))
    claims, price = listed(endpoint(provider="deepinfra"), record)
    assert ([claim.precision for claim in claims], price) == (["bf16", "fp8"], None)
    claims, price = listed(endpoint(provider="Novita"), record)
    assert ([claim.precision for claim in claims], price) == (["unknown"], (0.05, 0.4))


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {"data": None},
        {"data": []},
        {"data": {"endpoints": {}}},
        {"data": {"endpoints": [None, 5, {"tag": 3, "quantization": {}, "pricing": {"prompt": "x"}}]}},
        {"data": {"endpoints": [{"tag": "p", "pricing": {"prompt": "-1", "completion": "nan"}}]}},
    ],
)
def test_a_list_of_another_form_gives_no_price(record: Any):
    assert listed(endpoint(provider="p"), record)[1] is None


def test_what_the_model_says_of_itself_is_kept_and_never_counts():
    class Talks:
        def generate(self, requests: Any, on_completion: Any) -> None:
            for request in requests:
                on_completion(Completion(key=request.key, text="I am served\nin BF16."))

    claim = ask_it(Talks())  # type: ignore[arg-type]
    assert (claim.precision, claim.words, claim.counts) == ("bf16", "I am served in BF16.", False)
    assert compare([claim], None).disclosed == "unknown"


@pytest.fixture(scope="module")
def report(profile: Any) -> AuditReport:
    """Any audit, to be changed."""

    class Mute:
        def generate(self, requests: Any, on_completion: Any) -> None:
            for request in requests:
                on_completion(Completion(key=request.key, finish="error", error="HTTP 500"))

    found = audit(Mute(), profile, AuditPlan())  # type: ignore[arg-type]
    return replace(found, names=NAMES, meter=None, excluded=(), equals=(), missing=())


def claimed(precision: str) -> list[Claim]:
    return [Claim(precision=precision, source="its page", words=precision)] if precision else []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("disclosed", "outcome", "closest", "standing"),
    [
        ("bf16", "consistent", ("reference",), "as disclosed"),
        ("fp32", "consistent", ("reference",), "as disclosed"),
        ("int4", "consistent", ("reference",), "above"),
        ("bf16", "inconsistent", ("w4a16-rtn-g64",), "below"),
        ("int8", "inconsistent", ("w8a8-rtn-channel",), "as disclosed"),
        ("fp8", "inconsistent", ("fp8a16-rtn-channel",), "as disclosed"),
        ("fp8", "inconsistent", ("w8a8-rtn-channel",), "otherwise"),
        ("fp8", "inconsistent", ("w4a16-rtn-g64", "w8a8-rtn-channel"), "otherwise"),
        ("int4", "inconsistent", ("w8a8-rtn-channel",), "above"),
        ("bf16", "inconsistent", ("bf16+kvfp8",), "otherwise"),
        ("bf16", "inconsistent", (), "otherwise"),
        ("bf16", "inconsistent", ("more than one",), "otherwise"),
        ("bf16", "inconclusive", (), "not decided"),
        ("", "inconsistent", ("w4a16-rtn-g64",), "undisclosed"),
        ("", "consistent", ("reference",), "undisclosed"),
        ("unknown", "inconclusive", (), "undisclosed"),
    ],
)
def test_what_is_disclosed_against_what_was_measured(
    report: AuditReport, disclosed: str, outcome: Any, closest: tuple[str, ...], standing: str
):
    found = compare(claimed(disclosed), replace(report, outcome=outcome, closest=closest))
    assert found.standing == standing
    assert "fraud" not in found.words.lower()
    assert all(name in found.words for name in closest if name in NAMES and outcome == "inconsistent")


def test_undisclosed_says_the_worst_that_is_left(report: AuditReport):
    assert compare([], None).worst == "4 bits or fewer"
    open_ = replace(report, outcome="inconclusive", excluded=("w4a16-rtn-g64",))
    assert compare([], open_).worst in ("w8a8-rtn-channel", "fp8a16-rtn-channel")
    assert compare([], replace(report, outcome="inconclusive")).worst == "w4a16-rtn-g64"
    sure = replace(report, outcome="consistent", equals=("w8a8-rtn-channel",))
    assert compare([], sure).worst == "w8a8-rtn-channel"
    meter = MeterReading(noise_nats=1.0, noise_interval=(0.9, 1.1), bits=3.5, bits_interval=(3.1, 3.9), n_tokens=9)
    assert compare([], replace(report, outcome="inconsistent", closest=(), meter=meter)).worst == (
        "effective bits from 3.1"
    )


def test_sources_that_disagree_are_said(report: AuditReport):
    found = compare([*claimed("fp8"), *claimed("bf16")], report)
    assert found.disclosed == "fp8"
    assert "sources disagree: fp8, bf16" in found.words
