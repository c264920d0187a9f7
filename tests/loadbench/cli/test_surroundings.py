"""Where a command is started: other encodings, no terminal, closed streams, no home, nobody to answer."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from loadbench.cli.options import load_secrets
from loadbench.errors import UsageError
from loadbench.run.models.resolve import cache_dir
from loadbench.ui import Ui

ROOT = Path(__file__).resolve().parents[3]
SYMBOLS = "✓ → … × − é 世"

# The command line's own entry, with commands that print on both streams and that ask.
PROGRAM = f"""
import click
import loadbench.cli as command_line
from loadbench.cli.confirm import confirm
from loadbench.ui import Ui
from rich.console import Console

@command_line.cli.command()
def show():
    with Ui().step("preparing …"):
        print({SYMBOLS!r})
        Console().print({SYMBOLS!r})
        click.echo({SYMBOLS!r})

@command_line.cli.command()
def ask():
    click.echo(f"answer {{confirm('Continue?', abort=True)}}")

command_line.main()
"""


def program(
    *arguments: str, home: Path, prefix: str = "exec", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run by a shell, so that `prefix` and redirections do what they do for a user."""
    file = home / "program.py"
    file.write_text(PROGRAM, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "PYTHONUTF8")}
    environment |= {"PYTHONPATH": str(ROOT / "scripts"), **variables}
    line = f"{prefix} {sys.executable} {file} {' '.join(arguments)}"
    return subprocess.run(
        ["sh", "-c", line], cwd=home, env=environment, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "LANG": ""},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp437:strict"},
        {"LC_ALL": "xx_YY.nothing"},
        {"TERM": "dumb", "COLUMNS": "1"},
        {"TERM": "", "COLUMNS": "0"},
        {"COLUMNS": "²", "LINES": "²"},
    ],
)
def test_a_symbol_that_cannot_be_shown_ends_no_success(tmp_path: Path, variables: dict[str, str]) -> None:
    done = program("show", home=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert b"preparing" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_symbol_that_cannot_be_shown_is_written_in_ascii(tmp_path: Path) -> None:
    done = program("show", home=tmp_path, PYTHONIOENCODING="latin-1")
    assert done.stdout.decode("latin-1").splitlines()[0] == "ok -> ... × - é ?"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"])
def test_a_closed_stream_ends_no_success(tmp_path: Path, closed: str) -> None:
    done = program("show", closed, home=tmp_path)
    assert done.returncode == 0, (done.stdout, done.stderr)
    for file in (tmp_path / ".loadbench").rglob("*.log"):
        assert b"\x1b" not in file.read_bytes()


def test_a_full_disk_behind_the_output_is_named(tmp_path: Path) -> None:
    done = program("show", ">/dev/full", home=tmp_path)
    assert done.returncode == 1
    assert b"standard output: No space left on device" in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert b"defect" not in done.stderr


@pytest.mark.parametrize("source", ["</dev/null", "<&-"])
def test_a_question_that_nobody_can_answer_is_a_wrong_call(tmp_path: Path, source: str) -> None:
    done = program("ask", source, home=tmp_path)
    assert done.returncode == 2
    assert b"--yes" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_answer_may_come_from_a_pipe_that_then_ends(tmp_path: Path) -> None:
    done = program("ask", home=tmp_path, prefix="echo y |")
    assert (done.returncode, done.stdout) == (0, b"answer True\n")
    assert program("ask", home=tmp_path, prefix="printf '' |").returncode == 2


def test_a_job_in_the_background_does_not_wait_for_an_answer(tmp_path: Path) -> None:
    """Reading the terminal there would stop the process until somebody brings it to the foreground."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = f"set -m; {sys.executable} {tmp_path / 'program.py'} ask & wait $!; exit $?"
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(ROOT / "scripts")
        os.execvp("bash", ["bash", "-c", command])
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:  # how a terminal says that its last process has ended
        pass
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2, shown
    assert b"--yes" in shown


MAIN = ("-c", "from loadbench.cli import main; main()")


def as_stranger(
    *arguments: str, home: Path, program: tuple[str, ...] = MAIN, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Python as a user without a passwd entry and without a home, who may read this checkout."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user")
    user = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"]
    user += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    return subprocess.run(
        [*user, sys.executable, *program, *arguments],
        cwd=home,
        env={**kept, "PYTHONPATH": str(ROOT / "scripts"), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user can reach; those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.parametrize("home", [None, "/"])
def test_without_a_home_the_cache_is_in_the_working_folder(public: Path, home: str | None) -> None:
    public.chmod(0o777)
    shutil.copy(ROOT / "config.yaml", public)
    variables = {"HOME": home} if home else {}
    script = "from loadbench.run.models.resolve import cache_dir; print(cache_dir())"
    done = as_stranger("-c", script, home=public, program=(), **variables)
    assert done.stdout.strip() == str(public / ".loadbench" / "cache"), done.stderr


@pytest.mark.parametrize("others", [".", "results", ".loadbench"])
def test_a_folder_that_cannot_be_written_is_named_before_anything_starts(public: Path, others: str) -> None:
    """Read-only as a whole, or with parts that another user owns."""
    public.chmod(0o755 if others == "." else 0o777)
    shutil.copy(ROOT / "config.yaml", public)
    (public / others).mkdir(mode=0o755, exist_ok=True)
    done = as_stranger("doctor", home=public, HOME="/")
    assert done.returncode == 2, done.stderr
    assert str(public / others) in done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert not (public / ".localaws").exists()


def test_a_state_folder_of_another_user_is_one_sentence(public: Path) -> None:
    public.chmod(0o777)
    shutil.copy(ROOT / "config.yaml", public)
    (public / ".localaws").mkdir(mode=0o755)
    done = as_stranger("local", "up", home=public, HOME="/")
    assert done.returncode == 2, done.stderr
    assert ".localaws" in done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("/dev/null", str(tmp_path / "file" / "x")):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("LOADBENCH_CACHE_DIR", folder)
        with pytest.raises(UsageError, match="LOADBENCH_CACHE_DIR"):
            cache_dir()


def test_an_env_file_that_cannot_be_read_is_named_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"\xff\xfe=\n")
    load_secrets(file, Ui(Console(stderr=True, soft_wrap=True)))
    assert str(file) in capsys.readouterr().err


def test_a_working_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = program("show", home=tmp_path, prefix=f"cd {gone}; rmdir {gone}; exec")
    assert done.returncode == 2
    assert b"cd into" in done.stderr
    assert b"Traceback" not in done.stderr
