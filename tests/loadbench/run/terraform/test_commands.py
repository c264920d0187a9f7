"""Terraform as a process: every trap of the library that builds its commands, and what a run relies on."""

from __future__ import annotations

import ast
import base64
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadbench.errors import RunError
from loadbench.run.terraform.commands import Tail, TerraformEvent, parse_event
from tests.loadbench.run.conftest import MakeTerraform

SCRIPTS = Path(__file__).parents[4] / "scripts"


# A Terraform that still writes after its parent has gone.
OUTLIVES = """
import pathlib, time
folder = pathlib.Path({folder!r})
(folder / "started").touch()
deadline = time.monotonic() + 60
while not (folder / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
print("x" * 1_000_000, flush=True)
(folder / "finished").touch()
"""
APPLIES = """
from pathlib import Path
from loadbench.run.terraform.commands import Terraform
from loadbench.run.terraform.install import Binary
folder = Path({folder!r})
binary = Binary(folder / "bin-terraform", "1.11.4")
state_file = folder / "private" / "runs" / "a-run" / "terraform.tfstate"
Terraform(Path({root!r}), state_file, {{}}, folder / "log", binary=binary).apply(folder / "variables")
"""


def private_dir(tmp_path: Path) -> Path:
    return tmp_path / "private" / "runs" / "a-run"


class TestCommands:
    """The library's own commands do not work with Terraform 1.x."""

    def test_destroy_is_approved_without_the_flag_that_terraform_1_refuses(
        self, make_terraform: MakeTerraform
    ) -> None:
        command = make_terraform().command("destroy", refresh=False)
        assert "-auto-approve" in command
        assert "-refresh=false" in command
        assert not [part for part in command if "force" in part]

    def test_apply_is_approved_and_asks_nothing(self, make_terraform: MakeTerraform) -> None:
        command = make_terraform().command("apply")
        assert "-auto-approve" in command
        assert "-auto-approve=false" not in command
        assert "-input=false" in command

    def test_only_flags_of_terraform_are_on_the_command_line(self, make_terraform: MakeTerraform) -> None:
        command = make_terraform().command("apply", var_file="a b.json")
        flags = {part.partition("=")[0] for part in command[2:]}
        assert flags == {"-auto-approve", "-input", "-json", "-state", "-backup", "-var-file"}
        assert "-var-file=a b.json" in command

    def test_nothing_else_of_the_library_is_reachable(self) -> None:
        """A misspelt method of its object would become a Terraform command."""
        uses: dict[str, set[str]] = {}
        for file in SCRIPTS.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, (ast.Import, ast.ImportFrom)) and "python_terraform" in ast.unparse(node):
                    uses.setdefault(file.name, set())
                    assert isinstance(node, ast.Import)
                if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("python_terraform."):
                    uses.setdefault(file.name, set()).add(ast.unparse(node))
        assert uses == {
            "commands.py": {
                "python_terraform.IsFlagged",
                "python_terraform.Terraform",
                "python_terraform.Terraform.generate_cmd_string",
            }
        }


class TestRealRoot:
    """A real Terraform on a root of two built-in resources."""

    def test_apply_then_destroy_leaves_nothing_in_the_state(
        self, make_terraform: MakeTerraform, tmp_path: Path
    ) -> None:
        variables = tmp_path / "tiny.tfvars.json"
        variables.write_text(json.dumps({"environment": {"A": "${x}"}}))
        events: list[TerraformEvent] = []
        terraform = make_terraform()
        terraform.init()

        outputs = terraform.apply(variables, events.append)

        assert outputs["nothing"] is None, "an output that is null is None, not missing"
        assert json.loads(base64.b64decode(outputs["environment"])) == {"A": "${x}"}
        created = [event.resource for event in events if event.type == "apply_complete"]
        assert created == ["terraform_data.first", "terraform_data.second"]
        state_file = private_dir(tmp_path) / "terraform.tfstate"
        assert len(json.loads(state_file.read_text())["resources"]) == 2

        terraform.destroy(variables)
        assert json.loads(state_file.read_text())["resources"] == []

    def test_a_run_of_an_earlier_version_is_destroyed_from_its_state(
        self, make_terraform: MakeTerraform, tiny_root: Path, tmp_path: Path
    ) -> None:
        """Its resources, its modules and its variables may be gone from the code."""
        variables = tmp_path / "tiny.tfvars.json"
        variables.write_text(json.dumps({"environment": {"A": "1"}}))
        earlier = make_terraform()
        earlier.init()
        earlier.apply(variables)
        (tiny_root / "main.tf").write_text('variable "needed" {\n  type = object({ name = string })\n}\n')
        (tiny_root / "outputs.tf").write_text("")
        removed: list[str] = []

        def note(event: TerraformEvent) -> None:
            if event.type == "apply_complete":
                removed.append(event.resource)

        terraform = make_terraform()
        terraform.init()
        terraform.destroy(variables, note)

        assert removed == ["terraform_data.second", "terraform_data.first"], "in the order of the state"
        state_file = private_dir(tmp_path) / "terraform.tfstate"
        assert json.loads(state_file.read_text())["resources"] == []

    def test_the_state_is_for_the_owner_only_and_the_token_is_nowhere_else(
        self, make_terraform: MakeTerraform, no_variables: Path, tmp_path: Path
    ) -> None:
        terraform = make_terraform(environment={"TF_VAR_hugging_face_token": "hf_planted"})
        terraform.init()
        terraform.apply(no_variables)
        holders = [
            file for file in tmp_path.rglob("*") if file.is_file() and b"hf_planted" in file.read_bytes()
        ]
        assert [file.name for file in holders] == ["terraform.tfstate"]
        (log,) = tmp_path.rglob("*.jsonl")
        for file in (holders[0], log):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_the_stream_is_kept_over_all_commands(
        self, make_terraform: MakeTerraform, no_variables: Path, tmp_path: Path
    ) -> None:
        terraform = make_terraform()
        terraform.init()
        terraform.apply(no_variables)
        terraform.destroy(no_variables)
        lines = (tmp_path / "results" / "a-run" / "terraform.jsonl").read_text().splitlines()
        kinds = [json.loads(line)["type"] for line in lines]
        assert kinds.count("version") == 2
        assert kinds.count("apply_complete") == 4

    def test_an_interrupt_stops_it_in_order_and_keeps_what_exists(
        self, make_terraform: MakeTerraform, tmp_path: Path
    ) -> None:
        variables = tmp_path / "tiny.tfvars.json"
        variables.write_text(json.dumps({"seconds": 60}))
        terraform = make_terraform()
        terraform.init()
        said: list[str] = []

        def interrupt_during_the_second(event: TerraformEvent) -> None:
            if event.type == "interrupting":
                said.append(event.message)
            if event.type == "provision_start":
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            terraform.apply(variables, interrupt_during_the_second)
        assert len(said) == 1
        state = json.loads((private_dir(tmp_path) / "terraform.tfstate").read_text())
        assert "first" in [resource["name"] for resource in state["resources"]]
        terraform.destroy(variables)
        assert json.loads((private_dir(tmp_path) / "terraform.tfstate").read_text())["resources"] == []

    def test_a_failure_carries_terraforms_own_words(
        self, make_terraform: MakeTerraform, tiny_root: Path, no_variables: Path
    ) -> None:
        (tiny_root / "main.tf").write_text('resource "terraform_data" "first" {\n  input = var.missing\n}\n')
        (tiny_root / "outputs.tf").write_text("")
        terraform = make_terraform()
        terraform.init()
        with pytest.raises(RunError, match="Reference to undeclared input variable") as caught:
            terraform.apply(no_variables)
        assert 'the name "missing" has not been declared' in caught.value.details

    def test_a_usage_error_is_not_silent(self, make_terraform: MakeTerraform, tmp_path: Path) -> None:
        terraform = make_terraform()
        terraform.init()
        with pytest.raises(RunError) as caught:
            terraform.apply(tmp_path / "no-such-file.json")
        assert "no-such-file.json" in caught.value.message + caught.value.details


class TestStandIn:
    """What the real binary cannot be made to do at a wanted moment."""

    def test_events_arrive_while_it_still_runs(
        self, make_terraform: MakeTerraform, no_variables: Path, tmp_path: Path
    ) -> None:
        seen = tmp_path / "seen"
        terraform = make_terraform(f"""
            import os, pathlib, sys, time
            print('{{"type": "apply_start", "@message": "one"}}', flush=True)
            deadline = time.monotonic() + 60
            while not os.path.exists({str(seen)!r}):
                if time.monotonic() > deadline:
                    sys.exit(3)
                time.sleep(0.01)
            """)
        terraform.destroy(no_variables, lambda event: seen.touch())

    def test_it_reads_nothing_from_our_terminal_and_is_in_a_group_of_its_own(
        self, make_terraform: MakeTerraform, no_variables: Path, tmp_path: Path
    ) -> None:
        reported = tmp_path / "reported.json"
        terraform = make_terraform(f"""
            import json, os, sys
            reported = {{"stdin": sys.stdin.read(), "group": os.getpgid(0), "session": os.getsid(0)}}
            json.dump(reported, open({str(reported)!r}, "w"))
            """)
        keyboard, typed = os.pipe()
        os.write(typed, b"yes\n")
        os.close(typed)
        saved = os.dup(0)
        os.dup2(keyboard, 0)
        try:
            terraform.destroy(no_variables)
        finally:
            os.dup2(saved, 0)
        answer = json.loads(reported.read_text())
        assert answer["stdin"] == ""
        assert answer["group"] != os.getpgid(0)
        assert answer["session"] != os.getsid(0), "a closed terminal must not reach it"

    def test_it_gets_exactly_one_signal_however_often_the_user_asks(
        self, make_terraform: MakeTerraform, no_variables: Path, tmp_path: Path
    ) -> None:
        terraform = make_terraform(f"""
            import pathlib, signal, sys, time
            folder = pathlib.Path({str(tmp_path)!r})
            signals, asked_again = folder / "signals", folder / "again"
            signal.signal(signal.SIGINT, lambda *_: signals.open("a").write("x"))
            print('{{"type": "apply_start", "@message": "busy"}}', flush=True)
            deadline = time.monotonic() + 60
            while not (asked_again.exists() and signals.exists()) and time.monotonic() < deadline:
                time.sleep(0.01)
            print('{{"type": "text", "@message": "state saved"}}', flush=True)
            """)
        said: list[str] = []

        def insist(event: TerraformEvent) -> None:
            said.append(event.message)
            if event.message == "busy":
                signal.raise_signal(signal.SIGINT)
            if event.type == "interrupting" and len(said) == 2:
                wait_for(tmp_path / "signals")  # two at once would count as one
                signal.raise_signal(signal.SIGINT)
            if event.type == "interrupting" and len(said) == 3:
                (tmp_path / "again").touch()

        with pytest.raises(KeyboardInterrupt):
            terraform.apply(no_variables, insist)
        assert (tmp_path / "signals").read_text() == "x"
        assert "state saved" in said[-1], "it is waited for"
        assert "still stopping" in said[2]

    def test_a_bug_in_what_shows_events_still_lets_terraform_end_first(
        self, make_terraform: MakeTerraform, no_variables: Path, tmp_path: Path
    ) -> None:
        ended = tmp_path / "ended"
        terraform = make_terraform(f"""
            import pathlib, signal, threading
            interrupted = threading.Event()
            signal.signal(signal.SIGINT, lambda *_: interrupted.set())
            print('{{"type": "apply_start", "@message": "busy"}}', flush=True)
            interrupted.wait(60)
            pathlib.Path({str(ended)!r}).touch()
            """)

        def broken(_: TerraformEvent) -> None:
            raise ValueError("a bug")

        with pytest.raises(ValueError, match="a bug"):
            terraform.apply(no_variables, broken)
        assert ended.exists()

    def test_being_killed_is_an_error_that_says_so(
        self, make_terraform: MakeTerraform, no_variables: Path
    ) -> None:
        terraform = make_terraform("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        with pytest.raises(RunError, match="SIGKILL"):
            terraform.apply(no_variables)

    def test_a_destroy_that_fails_on_trust_is_tried_again_with_a_look(
        self, make_terraform: MakeTerraform, no_variables: Path, tmp_path: Path
    ) -> None:
        calls = tmp_path / "calls"
        terraform = make_terraform(f"""
            import sys
            open({str(calls)!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
            sys.exit("-refresh=false" in sys.argv)
            """)
        terraform.destroy(no_variables)
        first, second = calls.read_text().splitlines()
        assert "-refresh=false" in first
        assert "-refresh=false" not in second

    @pytest.mark.parametrize(
        ("text", "region"), [('{"region": "eu-west-1", "role": {}}', "eu-west-1"), ("{}", None), ("{", None)]
    )
    def test_a_destroy_takes_the_region_of_its_run(
        self, make_terraform: MakeTerraform, tmp_path: Path, text: str, region: str | None
    ) -> None:
        """The configuration may name another one by now."""
        variables, seen = tmp_path / "tiny.tfvars.json", tmp_path / "seen.json"
        variables.write_text(text)
        terraform = make_terraform(
            f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w'))",
            environment={"AWS_REGION": "us-west-2"},
        )
        terraform.destroy(variables)
        assert json.loads(seen.read_text()).get("TF_VAR_region") == region

    def test_only_the_account_and_the_variables_reach_it(
        self,
        make_terraform: MakeTerraform,
        no_variables: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("TF_LOG", "TF_CLI_ARGS", "TF_WORKSPACE", "HF_TOKEN", "AWS_PROFILE"):
            monkeypatch.setenv(name, "trace")
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "not-there"))
        reported = tmp_path / "reported.json"
        terraform = make_terraform(
            f"import json, os; json.dump(dict(os.environ), open({str(reported)!r}, 'w'))",
            environment={"AWS_REGION": "us-west-2", "TF_VAR_hugging_face_token": "hf_x", "OTHER": "no"},
        )
        terraform.destroy(no_variables)
        got = json.loads(reported.read_text())
        assert got["AWS_REGION"] == "us-west-2"
        assert got["TF_VAR_hugging_face_token"] == "hf_x"
        assert got["TF_DATA_DIR"] == str(tmp_path / "private" / "terraform" / "tiny")
        assert got["CHECKPOINT_DISABLE"] == "1"
        absent = {
            "TF_LOG",
            "TF_CLI_ARGS",
            "TF_WORKSPACE",
            "TF_CLI_CONFIG_FILE",
            "HF_TOKEN",
            "AWS_PROFILE",
            "OTHER",
        }
        assert not absent & set(got)

    def test_it_ends_its_work_when_this_process_is_killed(self, tmp_path: Path, tiny_root: Path) -> None:
        """A pipe would break, and Terraform with it, before it has saved its state."""
        script = tmp_path / "bin-terraform"
        script.write_text(f"#!{sys.executable}\n{OUTLIVES.format(folder=str(tmp_path))}")
        script.chmod(0o755)
        benchmark = subprocess.Popen(
            [sys.executable, "-c", APPLIES.format(folder=str(tmp_path), root=str(tiny_root))],
            env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        )
        wait_for(tmp_path / "started")
        benchmark.kill()
        benchmark.wait()
        (tmp_path / "go").touch()
        wait_for(tmp_path / "finished")


def wait_for(file: Path, timeout_s: float = 60) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not file.exists():
        assert time.monotonic() < deadline_s, f"{file.name} never came"
        time.sleep(0.01)


def test_a_line_written_in_two_halves_is_one_event(tmp_path: Path) -> None:
    file = tmp_path / "stream"
    with file.open("wb", buffering=0) as writer, file.open("rb") as reader:
        tail = Tail(reader)
        writer.write(b'{"type": "apply_start", "@message": "o')
        assert list(tail.events()) == []
        writer.write(b'ne"}\n{"type"')
        assert [event.message for event in tail.events()] == ["one"]


def test_an_event_tells_when_what_and_where() -> None:
    line = json.dumps(
        {
            "@message": "module.endpoint.aws_sagemaker_endpoint.this: Creating...",
            "@timestamp": "2026-11-23T06:55:37.250000Z",
            "type": "apply_start",
            "hook": {"resource": {"addr": "module.endpoint.aws_sagemaker_endpoint.this"}, "action": "create"},
        }
    )
    event = parse_event(line.encode())
    assert event.resource == "module.endpoint.aws_sagemaker_endpoint.this"
    assert event.action == "create"
    assert event.timestamp_s == 1795416937.25


def test_a_line_that_is_not_json_is_kept_as_text() -> None:
    assert parse_event(b"panic: runtime error\r").message == "panic: runtime error"
    assert parse_event(b"[1, 2]").type == "text"
