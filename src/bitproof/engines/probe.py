"""What a server really does with what it is asked: a dozen requests of a few tokens, at the start of a run.

Servers ignore in silence what they do not know: llama.cpp's takes `echo`, `prompt_logprobs` and `tool_choice: required`
and does nothing with them, others drop `seed`. So every ability is seen to work before anything is built on it; what
could not be told is counted as lacking, and its finding says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from bitproof.engines.generation import Abilities, Ability, Completion, Generator, Request
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_failures import Failure
from bitproof.errors import BitproofError, UnsupportedError
from bitproof.types import Message

__all__ = ["demand", "probe"]

ASKED = (Message(role="user", content="Write a list of ten random words, separated by commas."),)
# The longest of the answers of few tokens below; long enough that two samples at temperature 1 hardly ever agree.
N_TOKENS = 12
ODD_KEY = "zq7"
SCHEMA = {
    "type": "object",
    "properties": {ODD_KEY: {"type": "integer", "minimum": 3, "maximum": 5}},
    "required": [ODD_KEY],
    "additionalProperties": False,
}
TOOL = {
    "name": "lookup_zq7",
    "description": "Look a number up.",
    "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
}
PURPOSES = {
    "score": "divergence on given tokens",
    "logprobs": "divergence and margins",
    "top_logprobs": "KL from alternatives",
    "prompt_ids": "prompts that leave nothing to the server's own template",
    "seed": "samples that repeat",
}


def probe(generator: HttpGenerator, *, prompt_ids: tuple[int, ...] | None = None) -> Abilities:
    """Ask a server for each ability, set `generator.abilities` to what was found, and return it.

    `prompt_ids` is a short prompt in the model's own token ids; without it those abilities that need one are not
    probed. About twelve requests of at most 24 tokens. Raises EnvironmentFailed or UsageError where the endpoint as a
    whole fails.
    """
    found = _Probe(generator, prompt_ids)
    for field in fields(Abilities):
        check: Callable[[], tuple[bool, str]] = getattr(found, field.name)
        try:
            can, finding = check()
        except Failure as failure:
            if failure.ends == "always":
                raise generator.client.error(failure) from None
            can, finding = False, f"refused: {failure.why}"
        # at once: the next ones are asked in a way that works
        generator.abilities = replace(generator.abilities, **{field.name: Ability(can, "probed", finding)})
    return generator.abilities


def demand(generator: Generator, *names: str) -> None:
    """Raise UnsupportedError for the first of the named abilities that the engine lacks, with what was found."""
    for name in names:
        ability: Ability = getattr(generator.abilities, name)
        if not ability:
            raise UnsupportedError(
                f"{name.replace('_', ' ')} cannot be had ({ability.finding or 'the engine does not offer it'})",
                where=str(generator.settings.get("url", generator.name)),
                remedy=f"It is needed for {PURPOSES.get(name, 'this run')}: leave that out, or take another engine.",
            )


class _Probe:
    """One method for each ability, named like it: whether it works, and what was found."""

    def __init__(self, generator: HttpGenerator, prompt_ids: tuple[int, ...] | None) -> None:
        self._generator, self._ids = generator, prompt_ids
        self._samples: dict[tuple[float, int], str] = {}
        self._first: Completion | None = None
        self._with_logprobs: Completion | None = None

    def token_ids(self) -> tuple[bool, str]:
        if self._generator.dialect == "openai":
            record = self._raw("/chat/completions", **self._chat(2), return_token_ids=True)
            if record["choices"][0].get("token_ids"):
                self._generator.speak("vllm")
                return True, "given where return_token_ids asks for them: it speaks vLLM's dialect"
        completion = self._plain() if self._plain().token_ids else self._listed()
        n = len(completion.token_ids)
        return n > 0, f"{n} for an answer of {completion.answer_tokens} tokens" if n else "none given"

    def prompt_ids(self) -> tuple[bool, str]:
        if self._ids is None:
            return False, "not probed: no token ids at hand"
        record = self._raw("/completions", prompt=list(self._ids), max_tokens=1)
        read = (record.get("usage") or {}).get("prompt_tokens")
        if read not in (None, len(self._ids)):
            return False, f"of {len(self._ids)} token ids it made {read} tokens"
        return (
            True,
            f"{len(self._ids)} token ids read as they are" if read else "taken; it does not say how many it read",
        )

    def chat(self) -> tuple[bool, str]:
        answered = bool(self._plain(chat=True).text)
        return answered, "answers" if answered else "answers with nothing"

    def seed(self) -> tuple[bool, str]:
        same = self._sample(1.0, 1) == self._sample(1.0, 1, again=True)
        others = {self._sample(1.0, seed) for seed in (1, 2, 3)}
        if not same:
            return False, "ignored: the same seed gave two answers"
        if len(others) == 1:
            return False, "three seeds gave one answer: it is ignored, or nothing is sampled"
        return True, "the same seed gives the same answer, another one another"

    def temperature(self) -> tuple[bool, str]:
        cold = {self._sample(0.0, seed, again=True) for seed in (1, 2)}
        if len(cold) > 1:
            return False, "ignored: at temperature 0 it gave two answers"
        warm = {self._sample(1.0, seed) for seed in (1, 2, 3)}
        if warm <= cold:
            return False, "ignored: at temperature 1 it answers as at 0"
        return True, "one answer at 0, others at 1"

    def max_tokens(self) -> tuple[bool, str]:
        completion = self._plain()
        if completion.answer_tokens > 3 or len(completion.text) > 120:
            return False, f"ignored: {completion.answer_tokens} tokens for max_tokens 3"
        if completion.finish != "length":
            return False, f"an answer cut at 3 tokens is said to have ended by {completion.finish!r}"
        return True, "respected, and cut answers say so"

    def logprobs(self) -> tuple[bool, str]:
        completion = self._listed()
        listed = completion.logprobs or ()
        if not listed:
            return False, "asked for, and not given"
        if any(not token.logprob <= 1e-6 for token in listed):
            return False, "what it gives are no logprobs: one is above 0"
        if all(token.logprob == 0 for token in listed):
            return False, "what it gives are no logprobs: all are 0"
        return True, f"given for {len(listed)} of {completion.answer_tokens} tokens"

    def top_logprobs(self) -> tuple[bool, str]:
        listed = self._listed().logprobs or ()
        least = min((len(token.top) for token in listed), default=0)
        return least >= 5, f"{least} of 5 alternatives given"

    def score(self) -> tuple[bool, str]:
        if self._ids is None or len(self._ids) < 2:
            return False, "not probed: no token ids at hand"
        known = self._generator.abilities
        self._generator.abilities = Abilities(score=Ability(True))
        try:
            given = self._generator.score([self._ids])[0]
            how = self._generator.abilities.score.finding
        except BitproofError as error:
            return False, error.what
        finally:
            self._generator.abilities = known
        finding = f"{len(given)} logprobs of {len(self._ids) - 1} given tokens"
        return bool((given <= 1e-6).all()), f"{finding}, {how}" if how else finding

    def schema(self) -> tuple[bool, str]:
        record = self._raw("/chat/completions", **self._chat(24), **_schema_body())
        text = str(record["choices"][0]["message"].get("content") or "")
        began = text.replace(" ", "").replace("\n", "")[: len(ODD_KEY) + 3]
        if began == f'{{"{ODD_KEY}"':
            return True, f"followed: {' '.join(text.split())[:40]!r}"
        return False, f"ignored: it answered {text[:40]!r}"

    def tools(self) -> tuple[bool, str]:
        tools = [{"type": "function", "function": TOOL}]
        record = self._raw("/chat/completions", **self._chat(48), tools=tools, tool_choice="required")
        calls = record["choices"][0]["message"].get("tool_calls") or []
        if not calls:
            return False, "ignored: tool_choice required gave no call"
        return calls[0]["function"]["name"] == TOOL["name"], "a required call comes parsed"

    def _chat(self, max_tokens: int) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in ASKED]
        return {"messages": messages, "max_tokens": max_tokens, "temperature": 0}

    def _raw(self, path: str, **body: Any) -> Mapping[str, Any]:
        record = self._generator.exchange(path, body)
        if not isinstance(record, dict) or "choices" not in record:
            raise Failure(f"its answer has no choices ({json.dumps(record)[:80]})", again=False)
        return record

    def _sample(self, temperature: float, seed: int, *, again: bool = False) -> str:
        """An answer; the one that is there already unless asked `again`."""
        key = (temperature, seed)
        if again or key not in self._samples:
            text = self._ask(temperature=temperature, seed=seed, max_tokens=N_TOKENS).text
            self._samples.setdefault(key, text)
            return text
        return self._samples[key]

    def _plain(self, *, chat: bool = False) -> Completion:
        """Three tokens, nothing asked for besides; by chat only if `chat`."""
        if chat and self._ids is not None:
            return self._ask(max_tokens=3, prompt_ids=None)
        self._first = self._first or self._ask(max_tokens=3)
        return self._first

    def _listed(self) -> Completion:
        """Three tokens with five alternatives each, or with none where so many are refused."""
        if self._with_logprobs is None:
            try:
                self._with_logprobs = self._ask(max_tokens=3, top_logprobs=5)
            except Failure:
                self._with_logprobs = self._ask(max_tokens=3, top_logprobs=1)
        return self._with_logprobs

    def _ask(self, **settings: Any) -> Completion:
        """One answer; raises Failure where it is an error."""
        completions: list[Completion] = []
        asked = {"prompt_ids": self._ids, "messages": ASKED, **settings}
        self._generator.generate([Request(key="probe", **asked)], completions.append)
        if completions[0].error:
            raise Failure(completions[0].error, again=completions[0].again)
        return completions[0]


def _schema_body() -> dict[str, Any]:
    named = {"name": "answer", "schema": SCHEMA, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}
