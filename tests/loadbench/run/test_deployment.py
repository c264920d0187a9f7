"""Deploying with Terraform: what ends it before Terraform itself does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from loadbench.config import load_config
from loadbench.errors import ServiceError
from loadbench.results.run_record import ResourceNames
from loadbench.run import deployment
from loadbench.run.observe import Observer
from loadbench.run.terraform.commands import TerraformEvent
from tests.loadbench.run.observe.test_crash_loop import crashes
from tests.loadbench.run.observe.test_observer import put_events
from tests.loadbench.test_examples import context

ROOT = Path(__file__).resolve().parents[3]
ENDPOINT = "module.deployment.module.endpoint.aws_sagemaker_endpoint.this"
LONGEST_S = 30.0


class WaitingTerraform:
    """An apply that says that it is still creating the endpoint, until it is stopped or `done` is set."""

    def __init__(self, done: threading.Event) -> None:
        self.done = done
        self.event_count = 0

    def apply(self, variables: Path, on_event: Callable[[TerraformEvent], None]) -> dict[str, Any]:
        deadline_s = time.monotonic() + LONGEST_S
        on_event(TerraformEvent(1.0, "apply_start", "Creating...", ENDPOINT))
        while not self.done.wait(0.05):
            assert time.monotonic() < deadline_s, "nobody ended it"
            self.event_count += 1
            on_event(TerraformEvent(2.0, "apply_progress", "Still creating...", ENDPOINT))
        return {}


@pytest.mark.parametrize("starts", [4, 2])
def test_a_crash_loop_ends_the_deployment_with_its_reason_and_a_slow_start_does_not(
    aws_session: Any, tmp_path: Path, starts: int
) -> None:
    name = f"crash-loop-{starts}"
    names = ResourceNames(endpoint=name, endpoint_configuration=name, model=name)
    bench = context(load_config(ROOT / "config.yaml"), tmp_path)
    terraform = WaitingTerraform(threading.Event())
    put_events(
        aws_session,
        f"/aws/sagemaker/Endpoints/{name}",
        "AllTraffic/i-1",
        *[line.message for line in crashes(starts)],
    )
    observer = Observer(aws_session, names, "model_based", folder=tmp_path, embedded=False)

    def apply() -> dict[str, float]:
        return deployment.apply(bench, cast("Any", terraform), tmp_path, observer, has_new_role=False)

    if starts == 4:
        with pytest.raises(ServiceError, match="crashes repeatedly: 3 starts") as caught:
            apply()
        assert "CUDA out of memory" in caught.value.message
        return

    def finish() -> None:
        """Ends the apply once every line was seen, and Terraform has said something since."""
        while len(observer.log_lines()) < 6 or terraform.event_count < 40:
            time.sleep(0.05)
        terraform.done.set()

    ending = threading.Thread(target=finish, daemon=True)
    ending.start()
    assert apply() == {"terraform_start_s": 1.0}
    ending.join()
