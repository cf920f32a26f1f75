"""The reference's own answers given as a part of prompts: logprobs of all their tokens, for one token that is answered.

A served model is read at every place of a path in this way, also where it would have left it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bitproof.audit.observe import UNSEEN, probe_of
from bitproof.audit.preflight import alternatives, logprob_fault
from bitproof.audit.profile import Profile
from bitproof.engines.generation import Completion, Request
from bitproof.types import Message

__all__ = ["as_answer", "begun", "prompt_fault", "prompt_requests"]

LONG = 4  # tokens of a path: a shorter one says less, for the same price


def begun(profile: Profile, probe: int) -> tuple[int, ...]:
    """The tokens of a probe's path as far as it can be given as a text: to one that ends it, or is half a character."""
    ids = [int(token) for token in profile.path[probe] if token >= 0]
    cut = (n for n, token in enumerate(ids) if token in profile.end_tokens or UNSEEN in profile.texts[token])
    return tuple(ids[: next(cut, len(ids))])


def prompt_requests(profile: Profile, probes: Sequence[int], *, top: int) -> list[Request]:
    """Requests for the `top` logprobs of every token of the reference's own answers, given as answers that were begun.

    One token is answered, whatever the path's length, so long paths come first.
    """
    paths = {probe: begun(profile, probe) for probe in probes}
    return [
        Request(
            key=f"{probe}.prompt",
            messages=(
                Message(role="user", content=profile.probes[probe]),
                Message(role="assistant", content="".join(profile.texts[token] for token in paths[probe])),
            ),
            max_tokens=1,
            prompt_logprobs=top,
            continue_final=True,
        )
        for probe in sorted(probes, key=lambda probe: -min(len(paths[probe]), LONG))
        if paths[probe]
    ]


def as_answer(profile: Profile, completion: Completion) -> Completion:
    """What came to a request of `prompt_requests`, as if the path had been answered: its tokens with their logprobs.

    They are the last of the prompt; none where those are other tokens. Any other completion is left as it is.
    """
    if completion.prompt_logprobs is None:
        return completion
    path = begun(profile, probe_of(completion))
    last = completion.prompt_logprobs[-len(path) :]
    tokens = tuple(
        token
        for token, id_ in zip(last, path, strict=False)
        if token and (token.text == profile.texts[id_] if token.id is None else token.id == id_)
    )
    return replace(
        completion,
        logprobs=tokens if len(tokens) == len(path) else (),
        prompt_logprobs=last,
        prompt_tokens=completion.prompt_tokens or len(completion.prompt_logprobs),
    )


def prompt_fault(profile: Profile, first: Completion, *, floor_nats: float) -> str:
    """Why the logprobs of prompts cannot be relied on, after the first; empty where they can."""
    if first.finish == "error":
        return f"it refuses logprobs of prompts ({first.error})"
    if first.logprobs is None:
        return "it gives no logprobs of prompts"
    if not first.logprobs:
        return "its logprobs of a prompt are not of the reference's tokens: another tokenizer or template"
    probe = probe_of(first)
    tokens = first.prompt_tokens - len(begun(profile, probe))
    if tokens != profile.prompt_tokens[probe]:
        return (
            f"it counts {tokens} prompt tokens before an answer that is begun, where the reference's template makes"
            f" {profile.prompt_tokens[probe]}"
        )
    fault = logprob_fault([first], floor_nats=floor_nats)
    if fault:
        return f"of a prompt, {fault}"
    return "its logprobs of prompts come without alternatives" if alternatives([first]) == 1 else ""
