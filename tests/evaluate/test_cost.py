"""Costs against figures worked out by hand, and catalogues that are wrong in every way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitproof.errors import BitproofError, CheckpointError, UsageError
from bitproof.evaluate.cost import costs
from bitproof.evaluate.cost_catalogue import Accelerator, Api, Catalogue, ModelShape, find, read_catalogue
from bitproof.evaluate.cost_compare import break_even, margin
from bitproof.evaluate.cost_results import Figure, Terms
from bitproof.evaluate.cost_roofline import Machine, decode_step, experts_read, prefill
from bitproof.evaluate.cost_row import GIB, cost_row
from bitproof.evaluate.cost_rung import Rung, kv_bytes, read_rung
from bitproof.types import NotMeasured

# 100 parameters outside the embedding (tied, 10 x 10): what a person can work out.
SHAPE = ModelShape(
    name="tiny", layers=2, hidden=10, heads=2, kv_heads=1, head_dim=4, vocabulary=10, parameters=200, tied=True
)
RUNG = Rung(
    name="tiny",
    shape=SHAPE,
    weight_bytes=400,
    dense_bytes=400,
    expert_bytes=0,
    precision="bf16",
    kv_bits=16,
    measured_size=False,
)
DEVICE = Accelerator.model_validate(
    {
        "name": "dev",
        "kind": "gpu",
        "memory_gib": 1.0,
        "bandwidth_gb_s": 1e-6,  # 1,000 bytes a second
        "tflops": {"bf16": 2.5e-9},  # 2,500 operations a second
        "tdp_w": 100,
        "rent": {"usd_per_hour": 3.6, "date": "2026", "source": "x"},
        "purchase": {"usd": 8760.0, "date": "2026", "source": "x"},
    }
)
API = Api.model_validate(
    {"name": "api", "model": "m", "provider": "p", "input_usd": 100, "output_usd": 400, "date": "2026", "source": "x"}
)
CATALOGUE = Catalogue.model_validate({"electricity": {"usd_per_kwh": 0.5, "date": "2026", "source": "x"}})
TERMS = Terms(context=100, users=2, prompt_tokens=10, answer_tokens=4, pue=1.0, years=1.0, utilisation=0.5)


def figure(value: Figure | NotMeasured) -> float:
    assert isinstance(value, Figure), value
    return value.value


def test_kv_cache_by_hand() -> None:
    """2 (keys, values) x 2 layers x 1 head x 4 numbers x 2 bytes = 32 bytes a token."""
    assert kv_bytes(SHAPE, 16, 100) == 3200
    assert kv_bytes(SHAPE, 8, 100) == 1600
    windowed = SHAPE.model_copy(update={"window": 10, "window_layers": 1})
    assert kv_bytes(windowed, 16, 100) == 16 * 100 + 16 * 10
    latent = SHAPE.model_copy(update={"latent": 6})
    assert kv_bytes(latent, 16, 100) == 6 * 2 * 100 * 2
    llama = read_rung("llama-3.1-8b", read_catalogue())
    assert kv_bytes(llama.shape, llama.kv_bits, 1) == 131072  # the 128 KiB a token that everybody knows


def test_decode_and_prefill_by_hand() -> None:
    machine = Machine(device=DEVICE)
    # Reads 400 + 2 x 50 x 32 = 3,600 bytes; computes 2 x (2 x 200 + 4 x 2 x 2 x 4 x 50) = 7,200 operations: 2.88 s.
    both = decode_step(RUNG, machine, batch=2, context=50)
    assert (both.seconds, both.limit) == (pytest.approx(3.6), "memory")
    # Reads 400 + 8 x 32 bytes; computes 8 x (400 + 64) = 3,712 operations.
    many = decode_step(RUNG, machine, batch=8, context=1)
    assert (many.seconds, many.limit) == (pytest.approx(3.712 / 2.5), "compute")
    # 2 x (200 - 100) x 10, the head once 2 x 100, attention 2 x 16 x 10 x 10.
    assert prefill(RUNG, machine, tokens=10).seconds == pytest.approx((2000 + 200 + 3200) / 2500)
    assert decode_step(RUNG, Machine(device=DEVICE, n=2), batch=1, context=50).seconds == pytest.approx(1.0)
    assert decode_step(RUNG, Machine(device=DEVICE, efficiency=0.5), batch=1, context=50).seconds == pytest.approx(4.0)


def test_experts_are_read_as_far_as_tokens_reach_them() -> None:
    mixtral = read_rung("mixtral-8x7b", read_catalogue())
    assert experts_read(mixtral, 1) == 0.25
    assert experts_read(mixtral, 2) == 1 - 0.75**2
    assert experts_read(RUNG, 5) == 1
    assert mixtral.active_parameters == pytest.approx(12.75e9, rel=0.01)  # 12.9e9 with the embedding
    one = decode_step(mixtral, Machine(device=DEVICE), batch=1, context=1)
    assert one.seconds == pytest.approx((mixtral.dense_bytes + mixtral.expert_bytes / 4 + 131072) / 1000)


def test_a_row_by_hand() -> None:
    row = cost_row(RUNG, DEVICE, TERMS, CATALOGUE)
    assert not isinstance(row, NotMeasured)
    # Context 12 in the middle of an answer: a step for both reads 400 + 2 x 12 x 32 bytes in 1.168 s.
    request_s = 2.16 + 4 * 1.168 / 2
    assert figure(row.request_s) == pytest.approx(request_s)
    assert figure(row.users_that_fit) == (0.9 * GIB - 400) // 3200
    assert (row.batch, row.n_devices, row.limit) == (2, 1, "memory")
    assert figure(row.tokens_per_s) == pytest.approx(4 / request_s)
    assert figure(row.kwh_per_million) == pytest.approx(100 * request_s / 3.6e6 / 4 * 1e6)
    assert figure(row.usd_per_million) == pytest.approx(0.001 * request_s / 4 * 1e6)  # 3.6 USD/h are 0.001 a second
    assert figure(row.usd_per_million_input) == pytest.approx(0.001 * 2.16 / 10 * 1e6)
    assert figure(row.usd_per_million_output) == pytest.approx(0.001 * 1.168 / 2 * 1e6)
    # Owned: 8,760 USD over 4,380 h of use, and 0.1 kW at 0.5 USD: 2.05 USD/h.
    assert figure(row.own_usd_per_million) == pytest.approx(2.05 / 3600 * request_s / 4 * 1e6)
    assert isinstance(row.usd_per_million, Figure)
    assert row.usd_per_million.basis == ("roofline", "list price")


def test_a_measured_speed_replaces_the_roofline_and_says_so() -> None:
    row = cost_row(RUNG, DEVICE, TERMS, CATALOGUE, measured=Figure(2.0, ("measured",), 1.8, 2.2))
    assert not isinstance(row, NotMeasured)
    assert (figure(row.request_s), row.limit) == (2.0, "measured")
    assert row.tokens_per_s == Figure(2.0, ("measured",), 1.8, 2.2)
    assert isinstance(row.usd_per_million, Figure)
    assert row.usd_per_million.basis == ("measured", "list price")


def test_break_even_by_hand() -> None:
    row = cost_row(RUNG, DEVICE, TERMS, CATALOGUE, measured=Figure(2.0, ("measured",)))
    assert not isinstance(row, NotMeasured)
    owned, rented = break_even(row, DEVICE, API, TERMS, CATALOGUE)
    # A request of 10 + 4 tokens: 0.0026 USD at the API; 2 s x 100 W x 0.5 USD/kWh = 0.0000278 at home.
    assert figure(owned.api_usd_per_request) == pytest.approx(0.0026)
    power = 2 * 100 / 3.6e6 * 0.5
    requests = 730 / (0.0026 - power)  # 8,760 USD in twelve months
    assert figure(owned.million_tokens_per_month) == pytest.approx(requests * 14 / 1e6)
    assert figure(owned.capacity_million_tokens) == pytest.approx(730 * 0.5 * 3600 / 2 * 14 / 1e6)
    # Rented around the clock: 2,628 USD a month buy 1,010,769 requests, and it can serve 1,314,000.
    assert figure(rented.million_tokens_per_month) == pytest.approx(2628 / 0.0026 * 14 / 1e6)
    cheap = API.model_copy(update={"input_usd": 1.0, "output_usd": 40.0})
    no_room = break_even(row, DEVICE, cheap, TERMS, CATALOGUE)[0].million_tokens_per_month
    assert isinstance(no_room, NotMeasured)
    assert no_room.reason.startswith("never: it would take")
    cheaper = API.model_copy(update={"input_usd": 0.0, "output_usd": 1.0})
    never = break_even(row, DEVICE, cheaper, TERMS, CATALOGUE)[0].million_tokens_per_month
    assert isinstance(never, NotMeasured)
    assert "electricity alone" in never.reason


def test_a_provider_keeps_more_at_a_lower_precision() -> None:
    catalogue = read_catalogue()
    api, device = find(catalogue.apis, "together-llama-3.1-8b", "API"), find(catalogue.accelerators, "l4", "device")
    found = margin(api, device, "bf16", "w4a16", Terms(), catalogue)
    claimed, detected = figure(found.cost_claimed_usd), figure(found.cost_detected_usd)
    assert claimed > 2 * detected
    assert figure(found.margin_detected) == pytest.approx(1 - detected / figure(found.usd_per_request))
    same = margin(api, device, "bf16", "bf16", Terms(), catalogue)
    assert same.margin_claimed == same.margin_detected


def test_the_shipped_models_have_the_parameters_that_their_shapes_give() -> None:
    inner = {
        "smollm2-135m": 1536,
        "llama-3.2-1b": 8192,
        "llama-3.2-3b": 8192,
        "llama-3.1-8b": 14336,
        "llama-3.3-70b": 28672,
    }
    for model in read_catalogue().models:
        if model.name in inner:
            attention = model.hidden * model.head_dim * (2 * model.heads + 2 * model.kv_heads)
            block = attention + 3 * model.hidden * inner[model.name] + 2 * model.hidden
            embedding = model.vocabulary * model.hidden * (1 if model.tied else 2)
            assert model.parameters == embedding + model.layers * block + model.hidden, model.name


def test_shipped_prices_are_dated_and_sourced() -> None:
    catalogue = read_catalogue()
    models = {model.name for model in catalogue.models}
    for device in catalogue.accelerators:
        assert device.source
        assert all(price is None or (price.date and price.source) for price in (device.rent, device.purchase))
    assert all(api.source and api.date and api.model in models for api in catalogue.apis)


def test_weights_shrink_with_bits_and_the_head_stays() -> None:
    catalogue = read_catalogue()
    sizes = {
        name: read_rung(f"llama-3.1-8b{name}", catalogue) for name in ("", ":w8a8", ":fp8", ":w4a16-g128", ":nvfp4")
    }
    assert sizes[""].weight_bytes == 2 * 8030261248
    outside = 2 * 128256 * 4096
    linear = 8030261248 - outside
    assert sizes[":w4a16-g128"].weight_bytes == round(linear * (4 + 16 / 128) / 8 + 2 * outside)
    assert [sizes[name].precision for name in sizes] == ["bf16", "int8", "fp8", "bf16", "fp4"]
    assert read_rung("llama-3.1-8b", catalogue, kv="fp8").kv_bits == 8
    assert read_rung("llama-3.1-8b", catalogue, kv="int8").kv_bits == 8 + 32 / 128
    assert read_rung("llama-3.1-8b:w4a16+kvfp8", catalogue).kv_bits == 8
    assert read_rung("llama-3.1-8b:gguf-q4_k_m", catalogue).weight_bytes == pytest.approx(8030261248 * 4.89 / 8)


def checkpoint(folder: Path, **config: Any) -> Path:
    """A model of two tensors, zeros in BF16."""
    folder.mkdir()
    shapes = {"model.embed_tokens.weight": [10, 8], "model.layers.0.self_attn.q_proj.weight": [8, 8]}
    shapes["lm_head.weight"] = [10, 8]
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * shape[1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(end))
    full = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 10, **config}
    (folder / "config.json").write_text(json.dumps(full))
    return folder


def test_a_models_folder_is_measured_by_its_headers(tmp_path: Path) -> None:
    found = read_rung(str(checkpoint(tmp_path / "m", num_key_value_heads=1)), Catalogue())
    assert found.weight_bytes == 2 * (80 + 64 + 80)
    assert found.dense_bytes == 2 * (64 + 80)  # the embedding is read by row
    assert (found.shape.parameters, found.shape.tied, found.shape.head_dim, found.shape.kv_heads) == (224, False, 4, 1)
    assert found.measured_size
    with pytest.raises(CheckpointError, match=r"what the cost hangs on \(layers\)"):
        read_rung(str(checkpoint(tmp_path / "n", num_hidden_layers=None)), Catalogue())


def test_an_adapter_lies_beside_its_base(tmp_path: Path) -> None:
    """Rank 2 on one 8 x 8 linear: A is [2, 8], B is [8, 2], in F32."""
    base = read_rung(str(checkpoint(tmp_path / "m", num_key_value_heads=1)), Catalogue())
    header = {
        "a": {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64]},
        "b": {"dtype": "F32", "shape": [8, 2], "data_offsets": [64, 128]},
    }
    raw = json.dumps(header).encode()
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(128))
    found = read_rung(f"{tmp_path / 'm'},{folder}", Catalogue())
    assert found.name == "m,tuned"
    assert found.weight_bytes == base.weight_bytes + 128
    assert found.dense_bytes == base.dense_bytes + 128
    assert found.active_parameters == base.active_parameters + 32
    with pytest.raises(UsageError, match="no file, and no model"):
        read_rung(f"{tmp_path / 'm'},{tmp_path}", Catalogue())
    quantized = read_rung(f"smollm2-135m:w4a16-g64,{folder}", read_catalogue(), kv="fp8")
    assert (quantized.name, quantized.kv_bits) == ("smollm2-135m:w4a16-g64,tuned", 8)


def test_a_known_model_by_arithmetic() -> None:
    """Llama-3.1-8B in BF16 on an H100: 16 users at a context of 4,096, requests of 1,024 + 256 tokens."""
    catalogue = read_catalogue()
    device = find(catalogue.accelerators, "h100-sxm", "accelerator")
    row = cost_row(read_rung("llama-3.1-8b", catalogue), device, Terms(), catalogue)
    assert not isinstance(row, NotMeasured)
    kv_a_token = 2 * 32 * 8 * 128 * 2  # keys and values, layers, KV heads, head dimension, bytes
    assert figure(row.kv_gib_per_user) * GIB == kv_a_token * 4096 == 0.5 * GIB
    room = 0.9 * 79.6 * GIB - 2 * 8030261248
    assert figure(row.users_that_fit) == room // (0.5 * GIB) == 113
    # A step reads every weight but the input embedding, and 16 caches of 1,024 + 128 tokens, at 3.35 TB/s.
    read = 2 * (8030261248 - 128256 * 4096) + 16 * 1152 * kv_a_token
    step_s = read / 3.35e12
    # A prompt: two operations a parameter and token without the head, once the head, and causal attention, at 989 T.
    computed = 2 * (8030261248 - 2 * 128256 * 4096) * 1024 + 2 * 128256 * 4096 + 2 * 32 * 32 * 128 * 1024**2
    prefill_s = computed / 989e12
    assert figure(row.first_token_s) == pytest.approx(prefill_s)
    assert figure(row.tokens_per_s) == pytest.approx(256 / (prefill_s + 256 * step_s / 16))
    api = find(catalogue.apis, "bedrock-llama-3.1-8b", "API")
    owned, rented = break_even(row, device, api, Terms(), catalogue)
    price = 0.22e-6 * 1280
    busy_s = prefill_s + 256 * step_s / 16
    electricity = 0.7 * 1.2 * busy_s / 3600 * 0.1437
    assert figure(owned.million_tokens_per_month) == pytest.approx(27500 / 36 / (price - electricity) * 1280 / 1e6)
    assert figure(rented.million_tokens_per_month) == pytest.approx(2.69 * 730 / price * 1280 / 1e6)


def test_doubts_about_a_price_are_marked(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        f"accelerators: [{DEV % ', rent: {usd_per_hour: 2, date: 2026, source: x, unverified: its day}'}]\n"
        "electricity: {usd_per_kwh: 0.3, date: 2026, source: my bill}"
    )
    found = costs(["smollm2-135m"], ["d"], read_catalogue(file), Terms(context=64, prompt_tokens=8, answer_tokens=8))
    assert isinstance(found.rows[0].usd_per_million, Figure)
    assert found.rows[0].usd_per_million.basis == ("roofline", "unverified")
    assert found.sources["d, rent"] == "2 USD/h, x, 2026; NOT VERIFIED: its day"
    assert "NOT VERIFIED" not in found.sources["electricity"]


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    catalogue = read_catalogue()
    found = costs(["llama-3.3-70b"], ["l4", "h100-sxm"], catalogue, Terms(users=1))
    assert [row.n_devices for row in found.rows] == [8, 2]  # 131 GiB into 20 or 72 GiB each
    huge = catalogue.models[4].model_copy(update={"name": "huge", "parameters": 10**13})
    bigger = catalogue.model_copy(update={"models": (*catalogue.models, huge)})
    refused = costs(["huge"], ["l4"], bigger, Terms()).refused
    assert "do not fit into 8 x 22.5 GiB" in refused["huge on l4"]


@pytest.mark.parametrize(
    "terms",
    [{"usable": 0.0}, {"usable": 1.5}, {"efficiency": 0.0}, {"years": 0}, {"context": 100, "prompt_tokens": 100}],
)
def test_impossible_terms_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Terms(**terms)


DEV = "{name: d, kind: gpu, memory_gib: 1, bandwidth_gb_s: 1, tflops: {bf16: 1}, tdp_w: 1%s}"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("accelerator: []", "", "Did you mean 'accelerators'"),
        (f"accelerators: [{DEV % ', bandwith: 3'}]", "accelerators, d", "unknown key 'bandwith'. Did you mean 'bandwi"),
        (f"accelerators: [{DEV % ', rent: {usd_per_hours: 1}'}]", "d, rent", "Did you mean 'usd_per_hour'"),
        (
            f"accelerators: [{DEV % ', rent: {usd_per_hour: 1, date: 2026, source: x, currency: EUR}'}]",
            "d, rent",
            "There are: date, source, unverified, usd_per_hour",
        ),
        ("accelerators: [{name: d}]", "accelerators, d, kind", "required"),
        (f"accelerators: [{DEV.replace('tdp_w: 1', 'tdp_w: -5') % ''}]", "d, tdp_w", "greater than 0"),
        (f"accelerators: [{DEV.replace('bf16: 1', 'bf16: .inf') % ''}]", "tflops, bf16", "finite"),
        (f"accelerators: [{DEV.replace('bf16: 1', 'int7: 1') % ''}]", "tflops", "int7"),
        (f"accelerators: [{DEV.replace('bf16: 1', 'fp8: 1') % ''}]", "accelerators, d", "bf16 or fp32"),
        (f"accelerators: [{DEV % ''}, {DEV % ''}]", "accelerators", "'d' is given twice"),
        (
            f"accelerators: [{DEV % ', rent: {usd_per_hour: 1, date: last week, source: x}'}]",
            "d, rent, date",
            "pattern",
        ),
        ("apis: [{name: a, model: m, provider: p, input_usd: nan, output_usd: 1, date: 2026, source: x}]", "a", ""),
        (
            "models: [{name: m, layers: 1, hidden: 1, heads: 1, kv_heads: 1, head_dim: 1, vocabulary: 1, "
            "parameters: 1, experts: 4}]",
            "models, m",
            "mixture",
        ),
        ("a: &a [1]\nb: *a", "", "aliases"),
        ("electricity: 1\nelectricity: 2", "", "given twice"),
        ("accelerators: [", "", "not YAML"),
        ("- 1\n- 2", "", ""),
        ("!!python/object/apply:os.system ['true']", "", "not YAML"),
        ("[" * 5000, "", "not YAML"),
        ("x: '" + "y" * 1_000_001 + "'", "", "bytes long"),
    ],
)
def test_hostile_catalogues_are_refused_with_the_place(tmp_path: Path, text: str, where: str, what: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_catalogue(file)
    said = str(caught.value)
    assert caught.value.where is not None
    assert str(file) in caught.value.where
    assert where in caught.value.where
    assert what in said
    assert len(said) < 700


def test_a_catalogue_that_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(BitproofError):
            read_catalogue(path)


def test_an_own_catalogue_replaces_and_adds(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "electricity: {usd_per_kwh: 0.3, date: 2026-11, source: my bill}\n"
        "accelerators:\n"
        "  - {name: l4, kind: gpu, memory_gib: 24, bandwidth_gb_s: 300, tflops: {bf16: 121}, tdp_w: 72}\n"
        "  - {name: mine, kind: cpu, memory_gib: 24, bandwidth_gb_s: 38, tflops: {fp32: 1}, tdp_w: 65}\n"
    )
    found = read_catalogue(file)
    assert found.electricity is not None
    assert found.electricity.usd_per_kwh == 0.3
    assert find(found.accelerators, "l4", "device").rent is None
    assert find(found.accelerators, "mine", "device").tflops == {"fp32": 1.0}
    assert len(found.models) == len(read_catalogue().models)
    row = cost_row(read_rung("smollm2-135m:w8a8", found), find(found.accelerators, "mine", "device"), Terms(), found)
    assert not isinstance(row, NotMeasured)
    assert row.notes == ("mine has no int8 arithmetic: counted in fp32",)
    assert isinstance(row.usd_per_million, NotMeasured)
    with pytest.raises(UsageError, match="Did you mean llama-3"):
        read_rung("lama-3.1-8b", found)
    with pytest.raises(UsageError, match="There are: bf16"):
        read_rung("llama-3.1-8b", found, kv="int3")
