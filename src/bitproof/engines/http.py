"""Any URL that speaks OpenAI's protocol: a provider, a gateway, vLLM, llama.cpp's server.

vLLM and llama.cpp are recognized by what they say of themselves, and then asked in their own dialect (token ids in and
out, given tokens scored). Of anything else nothing is believed: `probe.py` finds out what it can do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from types import TracebackType
from typing import Any, Literal, Self

import httpx2

from bitproof.engines.generation import Abilities, Ability, Completion, OnCompletion, Request
from bitproof.engines.http_address import choose_model, key_from_environment
from bitproof.engines.http_client import Client, Patience
from bitproof.engines.http_failures import Failure, printable
from bitproof.engines.http_heard import Heard
from bitproof.engines.http_scoring import RawReader, scorer_of
from bitproof.engines.http_wire import Dialect, OpenAIReader, body_of
from bitproof.engines.llamacpp_forcing import Forcing
from bitproof.engines.protocol import Logprobs, Tokens, check_tokens
from bitproof.errors import EnvironmentFailed, UnsupportedError, UsageError

__all__ = ["HttpGenerator"]

YES = Ability(True)
OURS = Abilities(**{field.name: YES for field in fields(Abilities)})
DIALECT_ABILITIES: dict[Dialect, Abilities] = {
    "openai": Abilities(chat=YES, max_tokens=YES, temperature=YES),
    "vllm": replace(OURS, tools=Ability(False)),  # it takes a flag and a parser for each model
    "llamacpp": OURS,
}
NAMES: dict[Dialect, str] = {"openai": "HTTP", "vllm": "vLLM", "llamacpp": "llama.cpp"}


class HttpGenerator:
    """The model behind an OpenAI-compatible base URL ("https://HOST/v1").

    `model` may be left out where the server offers one only. `key_env` names the environment variable that holds the
    key; the key itself is nowhere stored or shown. `stream` is needed for the time to the first token, and costs some.
    `score_answers`, an attribute, has answers scored where a request brings no draft, as a reference's must be. `api`
    decides how a request that has both token ids and messages is asked: "auto" takes the ids where the server
    does. `body` is added to the body of every request, such as a gateway's choice of a provider; what is None in it is
    left out of them. The server is asked for its models on entering, or at the first request; `unlisted` has a model
    asked for that it does not list.

    Raises UsageError for a URL, a key or a model's name that is wrong, EnvironmentFailed where nothing answers.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key_env: str | None = None,
        workers: int = 8,
        stream: bool = False,
        api: Literal["auto", "chat", "completions"] = "auto",
        dialect: Dialect | None = None,
        patience: Patience | None = None,
        seed: int = 0,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        unlisted: bool = False,
    ) -> None:
        key = key_from_environment(key_env) if key_env else ""
        self.client = Client(
            url,
            headers={**(headers or {}), **({"authorization": f"Bearer {key}"} if key else {})},
            secrets=(key, *(headers or {}).values()),
            workers=workers,
            patience=patience,
            seed=seed,
            key_advice=_key_advice(key_env),
        )
        self.model, self.abilities, self.stream = model or "", DIALECT_ABILITIES[dialect or "openai"], stream
        self.score_answers, self.version = False, ""
        self._body, self._unlisted = body or {}, unlisted
        self._dialect, self._api, self._ready = dialect, api, False
        self._limit, self._native, self._forcing = "max_tokens", self._root("/completion"), Forcing()

    def __repr__(self) -> str:
        return f"HttpGenerator({self.client.where!r}, model={self.model!r})"

    @property
    def heard(self) -> Heard:
        """What the server has said of itself beside its answers."""
        return self.client.heard

    @property
    def dialect(self) -> Dialect:
        return self._dialect or "openai"

    @property
    def name(self) -> str:
        return NAMES[self.dialect]

    @property
    def settings(self) -> dict[str, str | int]:
        return {
            "url": self.client.where,
            "model": self.model,
            "dialect": self.dialect,
            "api": self._api,
            **({"body": json.dumps(self._body, sort_keys=True)} if self._body else {}),
        }

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer every request, `workers` at a time. See `generation.Generator`, and `http_client` for the rules.

        A draft is scored after the answer, where the server can score.
        """
        self._get_ready()
        try:
            self.client.run(self.client.answer(requests, self._attempt, on_completion))
        finally:
            self._note_forcing()

    def score(self, token_sequences: Tokens, *, first: Sequence[int] | None = None) -> list[Logprobs]:
        """Logprobs in nats of given tokens, see `http_scoring`.

        Raises UnsupportedError where the server gives none, as most providers.
        """
        self._get_ready()
        if not self.abilities.score:
            raise UnsupportedError(
                f"gives no logprobs of given tokens {self.abilities.score.finding}".rstrip(),
                where=self.client.where,
                remedy="Score in an engine that bitproof runs itself: transformers, llama.cpp or vLLM.",
            )
        check_tokens(token_sequences, 1 << 31, 1 << 31)
        starts = [1] * len(token_sequences) if first is None else first
        scores: dict[str, Logprobs] = {}

        async def attempt(request: Request) -> Completion:
            forced = await self._score(request.prompt_ids or (), starts[int(request.key)])
            return Completion(key=request.key, forced=forced)

        def keep(completion: Completion) -> None:
            if completion.forced is None:
                kind = EnvironmentFailed if completion.again else UsageError
                raise kind(f"scoring failed: {completion.error}", where=self.client.where)
            scores[completion.key] = completion.forced.logprobs_nats

        requests = [Request(key=str(n), prompt_ids=tuple(map(int, ids))) for n, ids in enumerate(token_sequences)]
        self.client.run(self.client.answer(requests, attempt, keep))
        self._note_forcing()
        return [scores[request.key] for request in requests]

    def exchange(self, path: str, body: dict[str, Any]) -> Any:
        """Send a JSON body as it is, the model's name added, and return the JSON that comes back; raises Failure."""
        self._get_ready()
        reader, completions = RawReader(), list[Completion]()

        async def attempt(request: Request) -> Completion:
            return await self.client.ask(
                self.client.at(path), _given({"model": self.model, **self._body, **body}), reader
            )

        self.client.run(self.client.answer([Request(key="", prompt_ids=(0,))], attempt, completions.append))
        if completions[0].error:
            raise Failure(completions[0].error, again=completions[0].again)
        return reader.record

    def speak(self, dialect: Dialect) -> None:
        """Ask in this dialect from now on, and take for granted what it can do."""
        self.abilities = DIALECT_ABILITIES[dialect]
        self._take_dialect(dialect)

    def _take_dialect(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._score = scorer_of(dialect, self.client, self.model, self._native, self._forcing)

    async def _attempt(self, request: Request) -> Completion:
        by_ids = self._by_ids(request)
        scored = by_ids and bool(request.draft_ids or self.score_answers) and bool(self.abilities.score)
        listed = request
        if scored and self.dialect == "llamacpp" and self.abilities.logprobs and not request.top_logprobs:
            listed = replace(request, top_logprobs=1)  # what it decodes as the draft goes need not be forced
        completion = await self._answer(listed, by_ids)
        if scored and (draft := request.draft_ids or completion.token_ids):
            prompt = request.prompt_ids or ()
            forced = await self._score((*prompt, *draft), len(prompt), completion.logprobs or ())
            completion = replace(
                completion, forced=forced, logprobs=completion.logprobs if request.top_logprobs else None
            )
        return completion

    async def _answer(self, request: Request, by_ids: bool) -> Completion:
        limit = self._limit
        stream = self.stream and not request.prompt_logprobs  # which come with whole answers only
        body = _given(body_of(request, self.dialect, by_ids=by_ids, stream=stream, limit=limit) | self._body)
        url = self.client.at("/completions" if by_ids else "/chat/completions")
        if by_ids and self.dialect == "llamacpp":
            url = self._native
        else:
            body["model"] = self.model
        try:
            return await self.client.ask(url, body, OpenAIReader(request), stream=stream)
        except Failure as failure:
            if limit != "max_tokens" or "max_completion_tokens" not in failure.why:
                raise
            self._limit = "max_completion_tokens"  # OpenAI's newer models take no other, and say so
            return await self._answer(request, by_ids)

    def _note_forcing(self) -> None:
        """Say in `abilities` that given tokens cost a request each, where they do."""
        if self._forcing.finding:
            score = replace(self.abilities.score, finding=f"a request a token: {self._forcing.finding}")
            self.abilities = replace(self.abilities, score=score)

    def _by_ids(self, request: Request) -> bool:
        """Whether a request is asked by its token ids; raises Failure where it can be asked neither way."""
        if request.prompt_ids and self._api != "chat" and (self.abilities.prompt_ids or self._api == "completions"):
            return True
        if request.messages and self._api != "completions":
            return False
        lacking = "messages" if request.prompt_ids else "token ids"
        raise Failure(f"this endpoint is asked by {lacking}, and the request has none", again=False)

    def _root(self, path: str) -> httpx2.URL:
        """A path beside the versioned API."""
        return self.client.url.copy_with(path=self.client.url.path.rstrip("/").removesuffix("/v1") + path)

    def _get_ready(self) -> None:
        """Ask the server for its models once: that it is there, what it is, and that the model's name is right."""
        if self._ready:
            return
        try:
            listed = self.client.run(self.client.get(self.client.at("/models")))
            records = [record for record in listed["data"] if isinstance(record.get("id"), str)]
            owners = {str(record.get("owned_by")) for record in records}
        except Failure as failure:
            if failure.ends == "always" or not failure.reached:
                raise self.client.error(failure) from None
            records, owners = [], set()  # it does not list its models; a wrong name is then found by the first request
        except (KeyError, TypeError, AttributeError):
            records, owners = [], set()
        said: Dialect = "vllm" if "vllm" in owners else "llamacpp" if "llamacpp" in owners else "openai"
        if not (self.model and self._unlisted):
            self.model = choose_model(
                self.model, [record["id"] for record in records], self.client.where, any_name=said == "llamacpp"
            )
        if self._dialect is None:
            self.speak(said)
        else:
            self._take_dialect(self._dialect)
        self.version = self._version()
        self._ready = True

    def _version(self) -> str:
        """What the server says its version is; empty where it does not."""
        path, key = {"vllm": ("/version", "version"), "llamacpp": ("/props", "build_info")}.get(self.dialect, ("", ""))
        if not path:
            return ""
        try:
            return printable(str(self.client.run(self.client.get(self._root(path))).get(key, "")))
        except (Failure, AttributeError):
            return ""

    def __enter__(self) -> Self:
        try:
            self._get_ready()
        except BaseException:
            self.client.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()


def _key_advice(key_env: str | None) -> str:
    if key_env is None:
        return "Name the environment variable that holds its key."
    return f"Put a key that is valid there into the environment variable {key_env}."


def _given(body: dict[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in body.items() if value is not None}
