"""Messages and tool calls in the JSON of chat APIs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bitproof.types import Message, ToolCall

__all__ = ["chat_messages", "numbered_calls", "tool_call"]


def numbered_calls(messages: Sequence[Message]) -> list[tuple[Message, list[str]]]:
    """Messages with the ids that APIs want: of the calls an assistant makes, and of the one call a tool answers.

    Tools answer in the order they were called.
    """
    n, open_calls, numbered = 0, [], []
    for message in messages:
        ids = [f"call_{n + index}" for index in range(len(message.tool_calls))]
        n += len(ids)
        open_calls += ids
        if message.role == "tool":
            ids = [open_calls.pop(0) if open_calls else "call_0"]
        numbered.append((message, ids))
    return numbered


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages in OpenAI's form."""
    records = []
    for message, ids in numbered_calls(messages):
        record: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.role == "tool":
            record["tool_call_id"] = ids[0]
        elif message.tool_calls:
            record["tool_calls"] = [
                {
                    "id": id_,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for id_, call in zip(ids, message.tool_calls, strict=True)
            ]
        records.append(record)
    return records


def tool_call(name: str, arguments: str) -> ToolCall | None:
    """A call as it was sent, parsed; None where its arguments are not a JSON object."""
    try:
        parsed = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return ToolCall(name=name, arguments=parsed) if isinstance(parsed, dict) else None
