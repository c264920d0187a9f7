"""The report of a removal."""

from __future__ import annotations

import pytest

from loadbench.errors import LeftoverError
from loadbench.run.destroy import Removal
from loadbench.run.removal.remove_run import interruption_leaves_something
from loadbench.run.removal.resources import Resource

ENDPOINT = Resource(
    kind="endpoint",
    name="loadbench-20261123-061530-fast-4f2a",
    arn="arn:aws:sagemaker:us-west-2:123456789012:endpoint/loadbench-20261123-061530-fast-4f2a",
    status="InService",
    run_id="20261123-061530-fast-4f2a",
    path="fast",
    created_s=0.0,
    expires_at="2026-11-23T10:15:30Z",
    usd_per_hour=1.515,
    problem="Rate exceeded",
)
LINK = (
    "https://us-west-2.console.aws.amazon.com/sagemaker/home?region=us-west-2"
    "#/endpoints/loadbench-20261123-061530-fast-4f2a"
)


class TestWhatIsLeft:
    """Identifier, hourly cost, a link to each: in text and in JSON."""

    def test_on_aws_each_has_its_price_its_problem_and_its_link(self) -> None:
        what, link = ENDPOINT.describe(on_aws=True).splitlines()
        assert what == f"endpoint {ENDPOINT.name} (InService), 1.51 USD per hour: Rate exceeded"
        assert link.strip() == LINK
        removal = Removal(listed=[ENDPOINT], on_aws=True)
        assert LINK in removal.as_text()
        assert "expires 2026-11-23T10:15:30Z" in removal.as_text()
        (item,) = removal.as_json()["listed"]
        assert (item["name"], item["usd_per_hour"], item["console_url"]) == (ENDPOINT.name, 1.515, LINK)

    def test_the_embedded_target_claims_no_bill_and_no_console(self) -> None:
        text = Removal(listed=[ENDPOINT], on_aws=False).as_text()
        assert "1.51 USD per hour on AWS, nothing here" in text
        assert "https://" not in text
        (item,) = Removal(listed=[ENDPOINT], on_aws=False).as_json()["listed"]
        assert item["console_url"] is None


def test_an_interrupted_removal_is_something_left_behind() -> None:
    with pytest.raises(LeftoverError) as caught, interruption_leaves_something():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 3
    assert "make destroy" in caught.value.remedy
