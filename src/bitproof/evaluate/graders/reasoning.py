"""What models think before they answer is no part of the answer."""

from __future__ import annotations

import re
from dataclasses import replace

from bitproof.types import Response

__all__ = ["answered", "without_reasoning"]

# As written by Qwen, DeepSeek and their kin, and by Magistral; servers with a reasoning parser take it off themselves.
_BEGIN = re.compile(r"<think(?:ing)?>|\[THINK\]")
_END = re.compile(r"</think(?:ing)?>|\[/THINK\]")


def without_reasoning(text: str) -> tuple[str, bool]:
    """The text after its last closing </think>, and whether reasoning was ended.

    The beginning may be missing, because some chat templates write it into the prompt. What follows a <think> that is
    never closed is reasoning that was cut off.
    """
    ends = [match.end() for match in _END.finditer(text)]
    rest = text[ends[-1] :].lstrip("\r\n") if ends else text
    begun = _BEGIN.search(rest)
    return (rest[: begun.start()], False) if begun else (rest, True)


def answered(response: Response) -> Response:
    """The response without reasoning; cut off ("length") where the reasoning of its last text was."""
    found = [without_reasoning(text) for text in response.texts]
    texts = tuple(text for text, _ in found)
    if texts == response.texts:
        return response
    cut = response.finish == "stop" and not found[-1][1]
    return replace(response, texts=texts, finish="length" if cut else response.finish)
