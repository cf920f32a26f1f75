"""The line that repeats a command shows no key, and is otherwise the line that was typed."""

from __future__ import annotations

import pytest

from bitproof.cli.main import command_line
from bitproof.cli.masking import without_keys


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("https://u:sk-1@h:80/v1?api-version=2024-06-01&api-key=sk-a#m", "https://***@h:80/v1?api-version=2024-06-01&api-key=***#m"),
        ("--against=https://h/v1?token=x&region=eu", "--against=https://h/v1?token=***&region=eu"),
        ("HTTPS://h?a=b;Signature=c", "HTTPS://h?a=b;Signature=***"),
        ("https://u:p@ss@h/v1", "https://***@h/v1"),
        ("https://h/v1?sk-abcdefghijklmnopqrst", "https://h/v1?***"),
        ("https://h/v1?k=0123456789abcdefg&deployment=gpt-4o", "https://h/v1?k=***&deployment=gpt-4o"),
        ("https://h/v1?a=https://u:key@i/?key=b", "https://h/v1?a=***"),
    ],
)  # fmt: skip
def test_what_may_be_a_key_is_not_shown(argument: str, shown: str):
    assert without_keys(argument) == shown


@pytest.mark.parametrize(
    "argument",
    ["https://host/v1", "https://h/v1#model@2", "file.json", "llamacpp:a/b@c", "a b", "?key=x", "--alpha", ""],
)
def test_everything_else_is_as_it_was(argument: str):
    assert without_keys(argument) == argument


def test_the_line_can_be_pasted():
    assert (
        command_line(["audit", "https://h/v1", "--out", "a b.html"]) == "bitproof audit https://h/v1 --out 'a b.html'"
    )
