"""What came from outside is text and nothing else, wherever it is shown or kept."""

from __future__ import annotations

import csv
import io
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbench.config import load_config
from loadbench.foreign_text import LONGEST_LINE, csv_cell, needs_cleaning, plain, plain_document, shown
from loadbench.redaction import MASK, redacted_command, redacted_document, remember_secrets
from loadbench.results.comparison.compare import compare
from loadbench.results.reports import csv as csv_report
from loadbench.results.reports import html, markdown, text
from loadbench.results.run_record import Failure, Invocation, load_record, record_file, save_record
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.logs import LogFile
from tests.loadbench.results.builders import make_record

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_PlantedForThisTestAndNothingElse0007"
HOSTILE = [
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]0;title\x07",
    "\x1b]8;;https://evil.example\x1b\\",
    "\x1b[?1049h",  # the alternate screen
    "\x1bP+q544e\x1b\\",
    "\x1b_Gi=1\x1b\\",
    "\x9b31m",
    "\x9d0;title\x9c",
    "\x1bc",
    "\x1b(0",
    "\x1b[ ~",
    "\x07\x08\x0b\x0c\x7f",
    "\u202e\u2066\u200f\u061c",
    "\u2028",
]


@pytest.mark.parametrize("sequence", HOSTILE)
def test_nothing_of_a_sequence_is_left(sequence: str) -> None:
    assert plain(f"before {sequence}after") == "before after"
    assert plain(f"CUDA {sequence}") == "CUDA "


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x2070)))
def test_no_control_character_is_ever_left(written: str) -> None:
    cleaned = plain(written, None)
    assert not [sign for sign in cleaned if (ord(sign) < 32 and sign not in "\n\t") or 127 <= ord(sign) < 160]
    assert plain(cleaned, None) == cleaned


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs", "So"])))
def test_text_stays_as_it_is(written: str) -> None:
    assert plain(f"{written}\n\tx", None) == f"{written}\n\tx"


def test_a_long_line_is_cut_and_says_so() -> None:
    cut = plain("short\n" + "x" * 100_000)
    assert cut.startswith("short\nxxx")
    assert len(cut) < LONGEST_LINE + 50
    assert cut.endswith("… (98,000 more characters)")
    assert plain("x" * 100_000, None) == "x" * 100_000


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "=cmd|' /C calc'!A0", "\t=1"])
def test_a_cell_is_no_formula(value: str) -> None:
    assert str(csv_cell(value)).startswith("'")
    assert csv_cell(-1.5) == -1.5
    assert csv_cell("as it was") == "as it was"


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_what_may_need_cleaning_is_seen_in_the_bytes(document: object) -> None:
    for as_ascii in (True, False):
        try:
            written = json.dumps(document, ensure_ascii=as_ascii).encode()
        except UnicodeEncodeError:
            continue  # half a surrogate pair
        assert needs_cleaning(written) or plain_document(document) == document


def hostile_failure() -> Failure:
    message = "".join(HOSTILE) + f"<script>alert(1)</script> =1+1 token {TOKEN} " + "y" * 100_000
    return Failure(step="deployment", message=message, reason=message, log_lines=[message])


def test_a_record_of_a_failure_holds_text_without_secrets(tmp_path: Path) -> None:
    record = make_record("standard").model_copy(update={"failure": hostile_failure()})
    record.invocations.append(
        Invocation(kind="warm", start_s=0, latency_s=1, ok=True, output_text="\x1b[2Jan answer " + "z" * 5000)
    )
    file = save_record(tmp_path, record)
    written = file.read_text(encoding="utf-8")
    assert TOKEN not in written
    assert "\\u001b" not in written
    assert len(written) < 50_000
    assert "z" * 5000 in written  # an answer is data
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_record_that_somebody_else_wrote_is_cleaned_when_it_is_read(tmp_path: Path) -> None:
    record = make_record("standard")
    file = save_record(tmp_path, record)
    document = json.loads(file.read_text(encoding="utf-8"))
    document["image"] = "\x1b]0;title\x07image"
    document["model"]["model_id"] = "\u202emodel"
    for as_ascii in (True, False):
        file.write_text(json.dumps(document, ensure_ascii=as_ascii), encoding="utf-8")
        found = load_record(record_file(tmp_path, record.run_id))
        assert (found.image, found.model.model_id) == ("image", "model")


def test_no_report_shows_more_than_text() -> None:
    failed = make_record("fast").model_copy(update={"status": "failed", "failure": hostile_failure()})
    comparison = compare([failed], [make_record("standard")], created_s=0)
    for render in (html.render, markdown.render, text.render, csv_report.render):
        page = render(comparison)
        assert "\x1b" not in page
        assert TOKEN not in page
        assert "\u202e" not in page
    for render in (html.render, markdown.render):
        assert "<script>alert" not in render(comparison).replace("\\<script", "")
    for row in csv.reader(io.StringIO(csv_report.render(comparison))):
        assert not [cell for cell in row if cell[:1] in ("=", "@", "+")]


def test_a_containers_log_is_text_without_secrets_for_its_owner(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "run" / "container.log", ["planted-secret"])
    log.write(LogLine(0.0, "stream", f"\x1b[31merror\x1b[0m {TOKEN} planted-secret"))
    file = tmp_path / "run" / "container.log"
    assert file.read_text(encoding="utf-8").rstrip().endswith(f"error {MASK} [redacted]")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("standard_deployment_info.container_env_vars.MY_PASSWORD=secret", True),
        ("standard_deployment_info.container_env_vars.HF_TOKEN=x", True),
        (f"standard_deployment_info.container_env_vars.PLAIN={TOKEN}", True),
        ("benchmark.pairs=5", False),
        ("--fail-if-slower-than=1.05", False),
    ],
)
def test_a_secret_of_the_command_line_is_masked_by_name_and_value(word: str, kept: bool) -> None:
    (found,) = redacted_command([word])
    assert found == (f"{word.partition('=')[0]}={MASK}" if kept else word)


def test_a_secret_of_the_configuration_is_masked_everywhere() -> None:
    secret = "planted-value-of-the-configuration"
    config = load_config(
        ROOT / "config.yaml",
        [f"fast_model_loading_info.container_env_vars.DB_PASSWORD={secret}"],
    )
    document = redacted_document(config.model_dump(mode="json"))
    assert document["fast_model_loading_info"]["container_env_vars"]["DB_PASSWORD"] == MASK
    assert secret not in json.dumps(document)
    assert document["region"] == config.region
    remember_secrets([secret])
    assert shown(f"the container says {secret}") == f"the container says {MASK}"
