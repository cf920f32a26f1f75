"""Items asked of an engine, once: answers are kept by what made them, and what is kept is never asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bitproof.engines.generation import Completion, Forced, Generator, Request
from bitproof.evaluate.prompts import conversation, prompt_ids, reworded
from bitproof.store.runs import Store, digest_of
from bitproof.types import Item, Progress, Response

__all__ = ["Answers", "Budget", "Runner", "Subject"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is asked: an engine with a model in it. `identity` is all that can move an answer, in JSON types."""

    name: str  # for people: the variant's name
    engine: Generator
    model: str  # digest of the reference, or of the artifact
    reworded: bool = False  # asked the same in other words: part of the noise, see `prompts.reworded`

    @property
    def identity(self) -> dict[str, Any]:
        engine = self.engine
        return {"model": self.model, "engine": engine.name, "version": engine.version, "settings": engine.settings}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Where a run stops: seconds, tokens (prompts and answers) and US dollars of one subject. None is no limit.

    `usd_per_million` are the prices of a million prompt tokens and of a million answer tokens.
    """

    time_s: float | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    usd_per_million: tuple[float, float] = (0.0, 0.0)


@dataclass(kw_only=True)
class Answers:
    """What a subject answered, by item id; `forced` is the reference's first answer under this subject."""

    subject: str
    responses: dict[str, Response] = field(default_factory=dict)
    forced: dict[str, Forced] = field(default_factory=dict)
    prompts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of the completions, in the store
    margins_nats: dict[str, float] = field(default_factory=dict)  # see `evaluate.margins`
    stopped: str = ""  # why not everything was asked

    def add(self, further: Answers) -> None:
        """Take in the answers to further items."""
        self.responses |= further.responses
        self.forced |= further.forced
        self.prompts |= further.prompts
        self.keys |= further.keys
        self.stopped = further.stopped


class Runner:
    """Asks the items of one suite; `tokenizer` renders their prompts for engines that take token ids.

    `seed` makes sampled answers: every subject gets the same one for an item.
    """

    def __init__(
        self,
        store: Store,
        items: Sequence[Item],
        tokenizer: Any,
        *,
        seed: int = 0,
        budget: Budget | None = None,
    ) -> None:
        self.items, self._store, self._tokenizer = items, store, tokenizer
        self._seed, self._budget = seed, budget or Budget()
        self._limits: dict[str, _Limit] = {}

    def ask(
        self,
        subject: Subject,
        items: Sequence[Item] | None = None,
        *,
        reference: Answers | None = None,
        progress: Progress | None = None,
    ) -> Answers:
        """The answers to `items` (default: all); the reference's are given as drafts where the prompt is the same.

        An answer that failed is a response with an error, and is asked for again by the next run. What an engine raises
        passes through; all that was answered before it is kept. A subject has one budget, however often it is asked.
        """
        asked = self.items if items is None else items
        answers = Answers(subject=subject.name)
        texts: dict[str, list[Completion]] = {item.id: [] for item in asked}
        limit = self._limits.setdefault(subject.name, _Limit(self._budget))
        n_questions = sum(1 + len(item.follow_ups) for item in asked)
        for turn in range(1 + max((len(item.follow_ups) for item in asked), default=0)):
            requests: dict[str, list[tuple[Item, Request]]] = {}
            for item in asked:
                before = texts[item.id]
                if len(item.follow_ups) >= turn == len(before) and not (before and before[-1].error):
                    request = self._request(subject, item, before, reference, turn)
                    requests.setdefault(request.key, []).append((item, request))

            def keep(key: str, completion: Completion) -> None:
                for item, request in requests[key]:  # noqa: B023 - called before the loop goes on
                    texts[item.id].append(completion)
                    answers.keys[item.id] = (*answers.keys.get(item.id, ()), key)
                    if not texts[item.id][1:]:
                        answers.prompts[item.id] = request.prompt_ids or ()
                        if completion.forced is not None:
                            answers.forced[item.id] = completion.forced
                if progress:
                    progress(sum(len(found) for found in texts.values()), n_questions, subject.name)

            self._complete(subject, [found[0][1] for found in requests.values()], keep, limit)
        answers.responses = {key: _response(found) for key, found in texts.items() if found}
        answers.stopped = limit.reached
        return answers

    def _request(
        self, subject: Subject, item: Item, before: Sequence[Completion], reference: Answers | None, turn: int
    ) -> Request:
        messages = conversation(item, [completion.text for completion in before])
        if subject.reworded:
            messages = reworded(messages)
        takes_ids = bool(subject.engine.abilities.prompt_ids)
        ids = prompt_ids(self._tokenizer, messages, where=item.id) if takes_ids else None
        seed = int(digest_of([self._seed, item.id, turn])[:12], 16)
        draft = None
        if reference is not None and turn == 0 and ids is not None and reference.prompts.get(item.id) == ids:
            drafts = reference.responses[item.id].token_ids if item.id in reference.responses else ()
            draft = drafts[0] if drafts else None
        asked = {
            "prompt": ids or [asdict(message) for message in messages],
            "draft": draft,
            "sampling": [item.max_tokens, item.temperature, seed],
        }
        return Request(
            key=digest_of({**subject.identity, **asked}),
            prompt_ids=ids,
            messages=messages,
            draft_ids=draft,
            max_tokens=item.max_tokens,
            temperature=item.temperature,
            seed=seed,
        )

    def _complete(
        self,
        subject: Subject,
        requests: Sequence[Request],
        keep: Callable[[str, Completion], None],
        limit: _Limit,
    ) -> None:
        """Hand over what the store has, then ask for the rest."""
        known = self._store.completions(request.key for request in requests)
        for key, record in known.items():
            keep(key, _read(key, record))

        def arrived(completion: Completion) -> None:
            limit.spend(completion)
            if completion.finish != "error":
                self._store.keep_completion(completion.key, _record(completion))
            keep(completion.key, completion)

        missing = [request for request in requests if request.key not in known]
        if missing:
            subject.engine.generate(limit.feed(missing), arrived)


class _Limit:
    """A budget while it is spent."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._start, self._tokens, self._usd = budget, time.monotonic(), 0, 0.0
        self.reached = ""

    def spend(self, completion: Completion) -> None:
        self._tokens += completion.prompt_tokens + completion.answer_tokens
        prompt, answer = self._budget.usd_per_million
        self._usd += (completion.prompt_tokens * prompt + completion.answer_tokens * answer) / 1e6

    def feed(self, requests: Sequence[Request]) -> Iterator[Request]:
        """The requests, until the budget is spent."""
        for request in requests:
            if self._budget.time_s is not None and time.monotonic() - self._start > self._budget.time_s:
                self.reached = f"the budget of {self._budget.time_s:g} s was spent"
            if self._budget.tokens is not None and self._tokens >= self._budget.tokens:
                self.reached = f"the budget of {self._budget.tokens:,} tokens was spent"
            if self._budget.cost_usd is not None and self._usd >= self._budget.cost_usd:
                self.reached = f"the budget of {self._budget.cost_usd:g} US dollars was spent"
            if self.reached:
                return
            yield request


def _response(completions: Sequence[Completion]) -> Response:
    last = completions[-1]
    return Response(
        texts=tuple(completion.text for completion in completions),
        finish=last.finish,
        token_ids=tuple(completion.token_ids for completion in completions if completion.token_ids),
        tool_calls=last.tool_calls,
        prompt_tokens=sum(completion.prompt_tokens for completion in completions),
        answer_tokens=sum(completion.answer_tokens for completion in completions),
        first_token_s=last.first_token_s,
        total_s=last.total_s,
        retries=sum(len(completion.retries) for completion in completions),
        error=last.error,
    )


KEPT = (
    "text",
    "token_ids",
    "finish",
    "prompt_tokens",
    "answer_tokens",
    "first_token_s",
    "total_s",
)


def _record(completion: Completion) -> dict[str, Any]:
    """A completion in JSON types."""
    record: dict[str, Any] = {name: getattr(completion, name) for name in KEPT}
    record["tool_calls"] = [asdict(call) for call in completion.tool_calls]
    record["retries"] = [asdict(retry) for retry in completion.retries]
    if completion.forced is not None:
        arrays = vars(completion.forced)
        record["forced"] = {name: None if array is None else array.tolist() for name, array in arrays.items()}
    return record


def _read(key: str, record: dict[str, Any]) -> Completion:
    from bitproof.engines.generation import Retry
    from bitproof.types import ToolCall

    forced = None
    if "forced" in record:
        arrays = {name: None if found is None else np.asarray(found) for name, found in record["forced"].items()}
        forced = Forced(**arrays)  # type: ignore[arg-type]
    return Completion(
        key=key,
        **{name: record[name] for name in KEPT if name != "token_ids"},
        token_ids=tuple(record["token_ids"]),
        tool_calls=tuple(ToolCall(**call) for call in record["tool_calls"]),
        retries=tuple(Retry(**retry) for retry in record["retries"]),
        forced=forced,
    )
