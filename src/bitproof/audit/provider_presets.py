"""The well-known providers: where each is, what opens it, and how many logprobs it gives.

Base URLs, key variables and limits are those of each provider's own documentation. Where a limit is not documented it
is None and found by asking; 0 where logprobs are refused, or not in the documentation at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PRESETS", "Preset", "Protocol"]

Protocol = Literal["openai", "anthropic"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """`url` may hold `{resource}`, which the endpoint then names. `key_header` is where the key goes, if not into
    `Authorization: Bearer`. `unlisted` says that models can be asked for that it does not list; `refused` are fields
    of requests that it does not take.
    """

    url: str
    key_env: str
    top_logprobs: int | None
    protocol: Protocol = "openai"
    key_header: str = ""
    unlisted: bool = False
    refused: tuple[str, ...] = ()


PRESETS = {
    "openai": Preset(url="https://api.openai.com/v1", key_env="OPENAI_API_KEY", top_logprobs=20),
    "openrouter": Preset(url="https://openrouter.ai/api/v1", key_env="OPENROUTER_API_KEY", top_logprobs=20),
    "together": Preset(url="https://api.together.ai/v1", key_env="TOGETHER_API_KEY", top_logprobs=None, unlisted=True),
    "fireworks": Preset(
        url="https://api.fireworks.ai/inference/v1", key_env="FIREWORKS_API_KEY", top_logprobs=5, unlisted=True
    ),
    "deepinfra": Preset(
        url="https://api.deepinfra.com/v1/openai", key_env="DEEPINFRA_TOKEN", top_logprobs=20, unlisted=True
    ),
    "groq": Preset(url="https://api.groq.com/openai/v1", key_env="GROQ_API_KEY", top_logprobs=0),
    "xai": Preset(url="https://api.x.ai/v1", key_env="XAI_API_KEY", top_logprobs=8),
    "mistral": Preset(
        url="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        top_logprobs=0,
        refused=("seed",),  # which it calls random_seed
    ),
    "azure": Preset(
        url="https://{resource}.openai.azure.com/openai/v1",
        key_env="AZURE_OPENAI_API_KEY",
        top_logprobs=5,
        key_header="api-key",
        unlisted=True,  # what is asked for is a deployment; what is listed are models
    ),
    "anthropic": Preset(
        url="https://api.anthropic.com/v1", key_env="ANTHROPIC_API_KEY", top_logprobs=0, protocol="anthropic"
    ),
}
