"""`bitproof mock-server`: what its options mean, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from bitproof.cli.mock_server import _faults, _read_answers, mock_server
from bitproof.errors import UsageError

TIMES = {"delay_s": 0.1, "between_s": 0.0, "slow_s": 2.0, "retry_after_s": 3.0}


def test_faults_on_the_command_line() -> None:
    faults = _faults(("cut=0.1", "slow=0.5"), ("seed",), TIMES)
    assert (faults.cut, faults.slow, faults.delay_s, faults.retry_after_s) == (0.1, 0.5, 0.1, 3.0)
    assert faults.ignores == ("seed",)
    for wrong in ("cute=0.1", "cut", "cut=2", "cut=nan"):
        with pytest.raises(UsageError, match="is no KIND=SHARE"):
            _faults((wrong,), (), TIMES)


def test_answers_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"prompt": "a", "answer": "b"}\n\n{"prompt": "c", "answer": "d"}\n')
    assert _read_answers(file) == {"a": "b", "c": "d"}
    file.write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "c"}\n')
    with pytest.raises(UsageError, match=r"line 2: is no answer"):
        _read_answers(file)


def test_one_source_of_answers(tmp_path: Path) -> None:
    result = CliRunner().invoke(mock_server, ["--echo", "--artifact", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "one source" in str(result.exception)


def test_the_help_names_every_fault() -> None:
    from bitproof.engines.mock_faults import IGNORABLE, KINDS

    text = CliRunner().invoke(mock_server, ["--help"]).output.replace("\n", " ")
    assert all(name in text for name in (*KINDS, *IGNORABLE))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_it_is_told_to(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "bitproof", "mock-server", "--echo", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[1]
        assert url.startswith("http://127.0.0.1:")
        said = {"model": "mock", "messages": [{"role": "user", "content": "hello"}]}
        assert httpx2.post(f"{url}/chat/completions", json=said, trust_env=False).status_code == 200
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(timeout=20) == 0
    assert rest == "Stopped after 1 request.\n"
