"""The prompt of an item, as a conversation and as the token ids that every model of a comparison gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bitproof.evaluate.graders.reasoning import without_reasoning
from bitproof.quantize.sources.item import Item as Text
from bitproof.quantize.sources.render import render
from bitproof.types import Item, Message

__all__ = ["conversation", "prompt_ids", "reworded"]


def conversation(item: Item, answers: Sequence[str] = ()) -> tuple[Message, ...]:
    """The item's messages, then each answer given so far, without its reasoning, with the question that follows it."""
    messages = list(item.messages)
    for answer, question in zip(answers, item.follow_ups, strict=False):
        said, _ = without_reasoning(answer)
        messages += [Message(role="assistant", content=said), Message(role="user", content=question)]
    return tuple(messages)


def reworded(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same conversation with a courtesy before its first question, which changes nothing that is asked.

    What answers to it differ is how much a template alone moves a model: as much as many quantizations do
    (arXiv 2605.28873).
    """
    first = next(number for number, message in enumerate(messages) if message.role == "user")
    asked = replace(messages[first], content=f"Please answer the following.\n\n{messages[first].content}")
    return (*messages[:first], asked, *messages[first + 1 :])


def prompt_ids(tokenizer: Any, messages: Sequence[Message], *, where: str) -> tuple[int, ...]:
    """Token ids of a conversation in the model's own chat template, up to where the assistant begins.

    Raises CalibrationError naming `where` for a conversation that the template refuses.
    """
    plain = tuple(_plain(message) for message in messages)
    ids, _ = render(tokenizer, Text(id=where, kind="item", messages=plain), answer=True)
    return tuple(ids.tolist())


def _plain(message: Message) -> dict[str, Any]:
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        calls = ({"name": call.name, "arguments": call.arguments} for call in message.tool_calls)
        record["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return record
