"""A plan's mistakes are reported at once; what it runs and what that may cost is as written."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbench.config import Config, load_config
from loadbench.errors import ConfigError
from loadbench.run.sweep.budget import Budget, WorstCase
from loadbench.run.sweep.plan import make_cells, read_plan

ROOT = Path(__file__).resolve().parents[3]
GOOD = """
    paths: [standard, fast]
    instance_types: [ml.g5.xlarge, ml.g5.2xlarge]
    models: [synthetic:llama-tiny, HuggingFaceTB/SmolLM2-135M-Instruct]
    budget: {usd: 40, hours: 2, worst_minutes_a_run: 30, worst_minutes_a_job: 60}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "plan.yaml"
    file.write_text(textwrap.dedent(text))
    return file


def read(file: Path, overrides: tuple[str, ...], model: str, instance_type: str) -> Config:
    kind = f"instance_type={instance_type}"
    sections = ("standard_deployment_info", "fast_model_loading_info")
    return load_config(ROOT / "config.yaml", [*(f"{section}.{kind}" for section in sections), *overrides])


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_plan(written(folder, text))
    return caught.value.message


def test_three_mistakes_are_three_sentences(tmp_path: Path) -> None:
    message = refused(
        tmp_path,
        """
        paths: [standard, quick]
        instance_types: [ml.g5.2xlarg]
        models: [synthetic:llama-tiny]
        budget: {usd: -1, hours: 2}
        side_by_sid: 2
        """,
    )
    assert "unknown 'quick'" in message
    assert "did you mean ml.g5.2xlarge?" in message
    assert "budget.usd" in message
    assert "did you mean 'side_by_side'?" in message
    assert "line 5" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": "[]"}, "models"),
        ({"models": "[a, a]"}, "a is listed twice"),
        ({"paths": "[standard]", "instance_types": "[ml.g5.xlarge]"}, "nothing to compare"),
        ({"rule": "{least_rounds: 5, most_rounds: 4}"}, "most_rounds must not be less"),
        ({"budget": "{usd: 1}"}, "hours: is missing"),
        ({"settings": "[{name: 'a b'}]"}, "settings"),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path: Path, change: dict[str, str], words: str) -> None:
    keys: dict[str, Any] = dict(line.strip().split(": ", 1) for line in GOOD.strip().splitlines())
    assert words in refused(tmp_path, "\n".join(f"{key}: {value}" for key, value in (keys | change).items()))


def test_every_combination_is_a_cell_and_each_model_has_its_control(tmp_path: Path) -> None:
    cells = make_cells(read_plan(written(tmp_path, GOOD)), read)
    assert len({cell.info.name for cell in cells}) == 8
    assert [cell.info.control for cell in cells] == [cells[0].info.name] * 4 + [cells[4].info.name] * 4
    assert cells[4].info.model_id == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_the_worst_case_has_the_job_where_there_may_be_one(tmp_path: Path) -> None:
    standard, fast, *_ = make_cells(read_plan(written(tmp_path, GOOD)), read)
    assert standard.worst == WorstCase(pytest.approx(0.5 * 1.408), 1800)  # type: ignore[arg-type]
    assert fast.worst == WorstCase(pytest.approx(1.5 * 1.408), 5400)  # type: ignore[arg-type]


def test_another_budget_is_the_same_plan_and_another_seed_is_not(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, GOOD))
    assert read_plan(written(tmp_path, GOOD.replace("usd: 40", "usd: 50"))).digest == plan.digest
    assert read_plan(written(tmp_path, f"{GOOD}    seed: 1\n")).digest != plan.digest


CASES = st.builds(WorstCase, st.floats(0.01, 5), st.floats(1, 3600))


@given(
    st.floats(0.1, 30), st.floats(60, 20_000), st.lists(CASES, max_size=30), st.integers(1, 4), st.randoms()
)
def test_the_budget_is_never_passed_whatever_runs_cost(
    usd: float, seconds: float, cases: list[WorstCase], lanes: int, draw: Any
) -> None:
    """Runs start when allowed, end at a random part of their worst, side by side, in a random order."""
    budget = Budget(usd, seconds)
    spent = clock = 0.0
    running: list[tuple[float, float, WorstCase]] = []  # ends at, costs, at its worst
    waiting = list(cases)
    while waiting or running:
        allowed = len(running) < lanes and waiting and budget.allows(
            spent, clock, [case for *_, case in running], waiting[0]
        )  # fmt: skip
        if allowed:
            case, share = waiting.pop(0), draw.choice([0.1, 0.7, 1.0])
            running.append((clock + share * case.seconds, share * case.usd, case))
        elif running:
            running.sort(key=lambda item: item[0])
            clock, cost, _ = running.pop(0)
            spent += cost
        else:
            break
        assert spent + sum(cost for _, cost, _ in running) <= usd + 1e-9
        assert clock <= seconds + 1e-6
