"""The command line: quick help, near misses, one message and an exit code for every error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from loadbench.cli import cli
from loadbench.cli.completion import SHELLS

ROOT = Path(__file__).resolve().parents[3]


def loadbench(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from loadbench.cli import main; main()", *arguments],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    heavy = "boto3 botocore torch rich jinja2 pydantic sagemaker.core"
    script = f"import sys, loadbench.cli; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compair"], "Did you mean 'compare'"),
        (["compare", "--pars", "3"], "--pairs"),
        (["compare", "--set", "benchmark.pair=3"], "did you mean 'pairs'?"),
        (["compare", "--set", "benchmrk.pairs=3"], "did you mean 'benchmark'?"),
        (["run", "fastest"], "'standard', 'fast'"),
        (["invoke", "fats"], "Did you mean 'fast'"),
        (["invoke", "slow", "Why?"], "standard, fast"),
        (["run", "fast", "--config", "absent.yaml"], "absent.yaml"),
        (["compare", "no-such-run"], "no-such-run"),
        (["compare", "--paths", "standard,slow"], "unknown loading method 'slow'"),
        (["compare", "--paths", "streamer"], "two or more of standard, fast, streamer"),
        (["report"], "loadbench compare"),
        (["report", "no-such-comparison"], "no-such-comparison"),
        (["report", "no-such-comparison", "--json"], "no-such-comparison"),
        (["report", "x" * 5000], "File name too long"),
        (["report", "../../etc", "--json"], "../../etc"),
        (["compare", "x" * 5000], "no run or comparison"),
        (["compare", os.fsdecode(b"\xff")], "no run or comparison"),
        (["compare", "--pairs", "²"], "'²' is not a valid integer range"),
        (["init", "x" * 5000], "File name too long"),
        (["init", "/dev/null/x"], "Not a directory"),
        (["run", "fast", "--config", "x" * 5000], "File name too long"),
        (["run", "fast", "--config", "/dev/zero"], "larger than 1 MiB"),
        (["compare", "--set", "benchmark.pairs=²"], "benchmark.pairs"),
        (["compare", "--set", "local.faults=" + "[" * 5000], "not valid YAML"),
    ],
)
def test_a_wrong_call_ends_in_2_with_one_message(tmp_path: Path, arguments: list[str], words: str) -> None:
    if "--set" in arguments:
        (tmp_path / "config.yaml").write_bytes((ROOT / "config.yaml").read_bytes())
    done = loadbench(*arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / ".loadbench").exists(), "a mistyped call leaves no log"


def commands(group: click.Group, *words: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)
        elif not command.hidden:
            yield " ".join([*words, name]), command


@pytest.mark.parametrize(("name", "command"), list(commands(cli)), ids=[name for name, _ in commands(cli)])
def test_every_verb_shows_how_to_call_it(name: str, command: click.Command) -> None:
    text = command.get_help(click.Context(command, info_name=f"loadbench {name}"))
    examples = text.partition("Examples:")[2].partition("Options:")[0]
    assert f"loadbench {name}" in examples
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.opts


@pytest.mark.parametrize("command", list(cli.commands.values()), ids=list(cli.commands))
def test_the_list_of_verbs_cuts_no_sentence_short(command: click.Command) -> None:
    assert not command.get_short_help_str(limit=62).endswith("...")


def test_an_unexpected_error_is_one_sentence_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    token = "hf_PlantedForThisTestAndNothingElse0005"
    script = (
        "import click, loadbench.cli as c\n"
        "@c.cli.command()\n"
        'def broken(): raise KeyError(f\'no such thing as {__import__("os").environ["HF_TOKEN"]}\')\n'
        "c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "broken"],
        cwd=tmp_path,
        env={**os.environ, "HF_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (log,) = (tmp_path / ".loadbench" / "logs").glob("*-broken-*.log")
    assert str(log) in done.stderr
    text = log.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert token not in text + done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_a_script_for_the_shell(tmp_path: Path, shell: str) -> None:
    done = loadbench("completion", shell, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "_LOADBENCH_COMPLETE" in done.stdout


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def reported(*words: str) -> list[str]:
        script = (
            "from loadbench.cli import cli; cli(prog_name='loadbench', complete_var='_LOADBENCH_COMPLETE')"
        )
        asked = {"_LOADBENCH_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words) - 1)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **asked, "COMP_WORDS": " ".join(words)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert "compare" in reported("loadbench", "com")
    assert reported("loadbench", "run", "fa") == ["fast", "fastload"]
    assert "--pairs" in reported("loadbench", "compare", "--pa")


def test_a_disk_that_cannot_be_written_is_no_defect(tmp_path: Path) -> None:
    script = """
import errno, sys
from loadbench import cli

def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", "results/run.json")

cli.cli.commands["completion"].callback = full
sys.argv = ["loadbench", "completion", "bash"]
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "results/run.json" in done.stderr
    assert "Free space" in done.stderr
    assert "defect" not in done.stderr
