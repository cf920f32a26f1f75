"""Files of endpoints: what they mean, and what is said of those that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitproof.audit.provider_endpoints import Endpoint, open_endpoint, read_endpoints
from bitproof.audit.provider_presets import PRESETS
from bitproof.engines.anthropic import AnthropicGenerator
from bitproof.engines.generation import Completion, Request
from bitproof.engines.http import HttpGenerator
from bitproof.engines.mock_answers import echo
from bitproof.engines.mock_server import MockServer
from bitproof.errors import UsageError
from bitproof.types import Message


def read(folder: Path, text: str, name: str = "e.yaml") -> tuple[Endpoint, ...]:
    (folder / name).write_text(text)
    return read_endpoints(folder / name).endpoints


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_an_endpoint_with_a_key_variable(tmp_path: Path, preset: str):
    resource = ", resource: mine" if preset == "azure" else ""
    (one,) = read(tmp_path, f"model: m\nendpoints: [{{name: a, preset: {preset}{resource}}}]")
    assert one.url.startswith("https://")
    assert "{" not in one.url
    assert one.key_env is not None
    assert one.key_env.isupper()
    assert (one.model, one.preset) == ("m", preset)


def test_what_an_endpoint_says_itself_wins_over_its_preset(tmp_path: Path):
    text = "{name: a, preset: together, url: 'http://127.0.0.1:1/v1', key_env: MINE, top_logprobs: 3, model: n}"
    (one,) = read(tmp_path, f"model: m\nendpoints: [{text}]")
    assert (one.url, one.key_env, one.top_logprobs, one.model) == ("http://127.0.0.1:1/v1", "MINE", 3, "n")


def test_json_and_yaml_say_the_same(tmp_path: Path):
    entry = {"name": "a", "preset": "xai", "price": [0.5, 1], "claimed": "fp8"}
    assert read(tmp_path, json.dumps({"endpoints": [entry]}), "e.json") == read(
        tmp_path, "endpoints: [{name: a, preset: xai, price: [0.5, 1], claimed: fp8}]"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("endpoints: []", "endpoints: list should have at least 1 item"),
        ("endpoint: 3", "unknown key 'endpoint'. Did you mean 'endpoints'?"),
        ("endpoints: [{nam: x}]", "endpoint 1: unknown key 'nam'. Did you mean 'name'?"),
        ("endpoints: [{name: x}]", "x: has neither a preset nor a URL"),
        ("endpoints: [{name: x, preset: togther}]", "unknown preset 'togther'. Did you mean 'together'?"),
        ("endpoints: [{name: x, url: 'ftp://x'}]", "is no http or https URL"),
        ("endpoints: [{name: x, url: 'http://u:p@x/v1'}]", "its URL holds a password"),
        ("endpoints: [{name: x, preset: xai, price: [1]}]", "x: price, 1: field required"),
        ("endpoints: [{name: x, preset: xai, price: [.nan, 1]}]", "finite number"),
        ("endpoints: [{name: x, preset: xai, top_logprobs: 21}]", "top_logprobs: input should be less than or equal"),
        ("endpoints: [{name: x, preset: xai, reference: 3}]", "reference: input should be a valid boolean"),
        ("endpoints: [{name: x, preset: xai, provider: z}]", "pins a provider. Only the preset openrouter can"),
        ("endpoints: [{name: x, preset: azure}]", "its resource is ''"),
        ("endpoints: [{name: x, preset: azure, resource: 'a.b/c'}]", "its resource is 'a.b/c'"),
        ("endpoints: [{name: x, preset: xai, resource: y}]", "its resource is 'y'"),
        ("endpoints: [{name: x, preset: anthropic}]", "has no model"),
        ("endpoints: [{name: x, preset: xai, body: {a: .inf}}]", "body: holds what JSON cannot"),
        ("endpoints: [{name: x, preset: xai}, {name: x, preset: groq}]", "'x' is given twice"),
        (
            "endpoints: [{name: x, preset: xai, reference: true}, {name: y, preset: xai, reference: true}]",
            "more than one reference",
        ),
        ("endpoints: [5]", "endpoint 1"),
        ("- a", "holds no mapping"),
        ("a: [", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_wrong_file_is_answered_with_what_would_be_right(tmp_path: Path, text: str, message: str):
    with pytest.raises(UsageError, match=r"e\.yaml|x:") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_a_key_in_the_file_is_refused_and_not_shown(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown key 'api_key'") as caught:
        read(tmp_path, "endpoints: [{name: x, preset: xai, api_key: sk-secret}]")
    assert "sk-secret" not in str(caught.value)


def test_a_key_that_is_not_there_is_named_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    for header in ("", "api-key"):
        with pytest.raises(UsageError, match="NOT_SET"):
            open_endpoint(Endpoint(name="a", url="https://x/v1", model="m", key_env="NOT_SET", key_header=header))


def test_a_pinned_provider_is_asked_for_in_every_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "secret")
    with MockServer(echo, key="secret") as server:
        (one,) = read(
            tmp_path,
            f"endpoints: [{{name: a, preset: openrouter, url: '{server.url}', provider: deepinfra/bf16, model: mock}}]",
        )
        answers: list[Completion] = []
        with open_endpoint(one) as engine:
            engine.generate([Request(key="1", messages=(Message(role="user", content="Hi"),))], answers.append)
        pins = [body["provider"] for body in server.bodies]
    assert pins == [{"only": ["deepinfra/bf16"], "allow_fallbacks": False, "require_parameters": True}]
    assert answers[0].text == "Hi"


def test_protocols_and_key_headers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KEY", "abc")
    anthropic = Endpoint(name="a", url="https://x/v1", model="m", key_env="KEY", protocol="anthropic")
    assert isinstance(open_endpoint(anthropic), AnthropicGenerator)
    azure = open_endpoint(Endpoint(name="a", url="https://x/v1", model="m", key_env="KEY", key_header="api-key"))
    assert isinstance(azure, HttpGenerator)
    assert "abc" not in repr(azure) + str(azure.settings)
