"""Streams of events, cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitproof.engines.generation import Completion
from bitproof.engines.http_events import Events
from bitproof.engines.http_failures import Failure


class Keeper:
    def __init__(self) -> None:
        self.records: list[Any] = []

    def take(self, record: Any) -> bool:
        self.records.append(record)
        return bool(record.get("token"))

    def completion(self, first_token_s: float | None, total_s: float) -> Completion:
        return Completion(key="")


@given(
    texts=st.lists(st.text(max_size=8), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_events_are_the_same_wherever_the_stream_is_cut(texts: list[str], end: str, cuts: list[int]) -> None:
    lines = [": a comment", "event: delta", "id: 1"]
    for text in texts:
        first, _, second = json.dumps({"token": text}, ensure_ascii=False).partition(" ")
        lines += [f"data: {first}", f"data:{second}", ""]
    stream = end.join([*lines, "data: [DONE]", "", ""]).encode()
    keeper = Keeper()
    events = Events(keeper)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, stop in pairwise(places):
        events(stream[start:stop])
    assert [record["token"] for record in keeper.records] == texts
    assert (events.first is not None) == any(texts)


def test_an_event_without_its_end_is_none() -> None:
    keeper = Keeper()
    Events(keeper)(b'data: {"token": "a"}\n')
    assert keeper.records == []


@pytest.mark.parametrize("data", [b"{", b"[" * 100_000, b"\xff"])
def test_what_is_not_json_is_a_failure(data: bytes) -> None:
    with pytest.raises(Failure, match="what is not JSON"):
        Events(Keeper())(b"data: " + data + b"\n\n")
