"""Nothing that costs money is left behind, and what cannot be removed is named."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError

from loadbench.errors import RunError
from loadbench.run.removal.remove_resources import Resource, find_resources, remove
from tests.loadbench.run.fake_account import FakeAccount, client_error

RUN = "20261123-061530-fast-4f2a"
NAME = f"loadbench-{RUN}"
TAGS = {
    "loadbench:project": "loadbench",
    "loadbench:run-id": RUN,
    "loadbench:path": "fast",
    "loadbench:expires-at": "2026-11-23T10:15:30Z",
}
SORTS = ("optimization_job", "inference_component", "endpoint", "endpoint_config", "model", "role")


@pytest.fixture
def account() -> FakeAccount:
    """One run of the fast path, listed in an order that is wrong for removal."""
    account = FakeAccount()
    for sort in reversed(SORTS):
        status = "INPROGRESS" if sort == "optimization_job" else "InService"
        account.add(sort, NAME, TAGS, status=status, endpoint=NAME)
    return account


def remove_all(account: FakeAccount, said: list[str] | None = None, timeout_s: float = 600) -> list[Resource]:
    return remove(
        account,
        find_resources(account, "loadbench"),
        (said if said is not None else []).append,
        timeout_s=timeout_s,
        clock=account.clock,
        sleep=account.sleep,
    )


class TestFind:
    def test_every_kind_is_found_with_its_tags_and_price(self, account: FakeAccount) -> None:
        found = {item.kind: item for item in find_resources(account, "loadbench", lambda _: 1.515)}
        assert list(found) == [
            "optimization job",
            "inference component",
            "endpoint",
            "endpoint configuration",
            "model",
            "role",
        ], "in the order in which they can be removed"
        assert {item.run_id for item in found.values()} == {RUN}
        assert {item.path for item in found.values()} == {"fast"}
        assert {item.expires_at for item in found.values()} == {"2026-11-23T10:15:30Z"}
        assert found["endpoint"].usd_per_hour == 2 * 1.515
        assert found["optimization job"].usd_per_hour == 1.515
        assert found["model"].usd_per_hour is None
        assert found["endpoint"].created_s == 1795414530

    @pytest.mark.parametrize(
        "status", ["Creating", "Failed", "Updating", "OutOfService", "RollingBack", "Deleting"]
    )
    def test_every_status_counts(self, status: str) -> None:
        account = FakeAccount()
        account.add("endpoint", NAME, TAGS, status=status)
        assert [item.status for item in find_resources(account, "loadbench")] == [status]

    def test_all_pages_count(self) -> None:
        account = FakeAccount()
        for index in range(7):
            account.add("model", f"loadbench-20261123-061530-standard-000{index}", TAGS)
        assert len(find_resources(account, "loadbench")) == 7

    def test_an_endpoint_with_the_tag_counts_whatever_its_name(self) -> None:
        account = FakeAccount()
        account.add("endpoint", "renamed", TAGS)
        assert [item.name for item in find_resources(account, "loadbench")] == ["renamed"]

    def test_a_name_of_ours_counts_without_any_tag(self) -> None:
        account = FakeAccount()
        account.add("endpoint", NAME, {})
        (found,) = find_resources(account, "loadbench")
        assert (found.run_id, found.path, found.expires_at) == (RUN, "fast", None)

    def test_other_peoples_things_are_left_alone(self) -> None:
        account = FakeAccount()
        account.add("endpoint", f"loadbench-two-{RUN}", TAGS | {"loadbench:project": "loadbench-two"})
        account.add("endpoint", f"loadbench-three-{RUN}", {})
        account.add("endpoint", "loadbench-production", {})
        account.add("model", f"my-loadbench-{RUN}", {})
        assert find_resources(account, "loadbench") == []

    def test_a_job_at_rest_costs_nothing(self) -> None:
        account = FakeAccount()
        for status in ("COMPLETED", "FAILED", "STOPPED"):
            account.add("optimization_job", NAME, TAGS, status=status)
        assert find_resources(account, "loadbench") == []

    def test_what_goes_away_while_it_is_looked_at_is_gone(self, account: FakeAccount) -> None:
        account.errors["list_tags", NAME] = [client_error("ValidationException", "Could not find it")]
        assert "optimization job" not in {item.kind for item in find_resources(account, "loadbench")}

    def test_an_endpoint_whose_configuration_is_gone_is_still_found(self, account: FakeAccount) -> None:
        account.things = [thing for thing in account.things if thing.sort != "endpoint_config"]
        endpoint = next(item for item in find_resources(account, "loadbench") if item.kind == "endpoint")
        assert endpoint.usd_per_hour is None

    def test_copies_that_were_added_since_cost_too(self, account: FakeAccount) -> None:
        next(thing for thing in account.things if thing.sort == "endpoint").instance_count = 3
        endpoint = next(item for item in find_resources(account, "loadbench") if item.kind == "endpoint")
        assert endpoint.usd_per_hour == 3 * 1.515

    def test_a_listing_that_cannot_be_made_is_an_error_not_an_empty_list(self, account: FakeAccount) -> None:
        account.errors["list_endpoints", ""] = [client_error("AccessDeniedException")]
        with pytest.raises(RunError, match="AccessDenied"):
            find_resources(account, "loadbench")

    def test_expiry_is_read_from_the_tag(self) -> None:
        account = FakeAccount()
        account.add("endpoint", NAME, TAGS)
        account.add("endpoint", f"loadbench-{RUN[:-4]}beef", {})
        expired, without_tag = find_resources(account, "loadbench")
        due_s = 1795428930
        assert expired.is_expired(due_s)
        assert not expired.is_expired(due_s - 1)
        assert not without_tag.is_expired(due_s)


class TestRemove:
    def test_the_order_is_that_of_sagemaker(self, account: FakeAccount) -> None:
        assert remove_all(account) == []
        assert account.removed == [
            f"optimization_job {NAME}",
            f"inference_component {NAME}",
            f"endpoint {NAME}",
            f"endpoint_config {NAME}",
            f"model {NAME}",
            "policy one",
            "policy two",
            "policy three",
            "attached arn:aws:iam::aws:policy/Mine",
            f"role {NAME}",
        ]

    def test_slow_removals_are_waited_for_before_the_next_kind(self, account: FakeAccount) -> None:
        for thing in account.things:
            if thing.sort in ("inference_component", "endpoint"):
                thing.removal_s = 120
        assert remove_all(account) == []
        assert account.now_s >= 240

    def test_an_endpoint_that_is_still_creating_is_waited_for_and_the_wait_is_reported(
        self, account: FakeAccount
    ) -> None:
        account.things = [thing for thing in account.things if thing.sort != "inference_component"]
        endpoint = next(thing for thing in account.things if thing.sort == "endpoint")
        endpoint.ready_s, endpoint.status = 300, "Failed"
        said: list[str] = []
        assert remove_all(account, said) == []
        assert [line for line in said if "is Creating and can be removed once that has ended" in line]

    def test_an_endpoint_that_settles_between_the_refusal_and_the_look_is_asked_again(
        self, account: FakeAccount
    ) -> None:
        refusal = client_error("ValidationException", f'Cannot update in-progress endpoint "{NAME}".')
        account.errors["delete_endpoint", NAME] = [refusal]
        assert remove_all(account) == []

    def test_twice_is_fine(self, account: FakeAccount) -> None:
        found = find_resources(account, "loadbench")
        assert remove_all(account) == []
        assert remove(account, found, print, clock=account.clock, sleep=account.sleep) == []

    def test_components_under_other_names_do_not_hold_the_endpoint(self, account: FakeAccount) -> None:
        account.add("inference_component", "somebody-elses", {}, endpoint=NAME)
        assert remove_all(account) == []
        assert "inference_component somebody-elses" in account.removed

    @pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "ServiceUnavailable"])
    def test_transient_errors_are_tried_again(self, account: FakeAccount, code: str) -> None:
        account.errors["delete_endpoint", NAME] = [client_error(code)] * 3
        account.errors["list_models", ""] = [client_error(code)]
        assert remove_all(account) == []

    def test_a_lost_connection_is_tried_again(self, account: FakeAccount) -> None:
        lost = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        account.errors["describe_endpoint", NAME] = [lost]
        assert remove_all(account) == []

    def test_what_cannot_be_removed_is_named_with_its_reason_and_holds_what_it_needs(
        self, account: FakeAccount
    ) -> None:
        account.errors["delete_endpoint", NAME] = [client_error("AccessDeniedException", "no delete for you")]
        said: list[str] = []
        remaining = {item.kind: item for item in remove_all(account, said)}
        assert set(remaining) == {"endpoint", "endpoint configuration", "model", "role"}
        assert "no delete for you" in remaining["endpoint"].problem
        assert remaining["model"].problem == "its endpoint still exists"
        assert (remaining["endpoint"].console_url or "").endswith(f"#/endpoints/{NAME}")
        assert [line for line in said if "no delete for you" in line], "nothing is swallowed"

    def test_an_error_of_one_run_does_not_keep_another(self, account: FakeAccount) -> None:
        other = "loadbench-20261123-070000-standard-beef"
        tags = TAGS | {"loadbench:run-id": other.removeprefix("loadbench-")}
        for sort in ("endpoint", "endpoint_config", "model"):
            account.add(sort, other, tags)
        account.errors["delete_endpoint", NAME] = [client_error("AccessDeniedException")]
        assert {item.name for item in remove_all(account)} == {NAME}

    def test_a_removal_that_takes_too_long_is_reported(self, account: FakeAccount) -> None:
        account.things = [thing for thing in account.things if thing.sort != "inference_component"]
        next(thing for thing in account.things if thing.sort == "endpoint").ready_s = 10_000
        remaining = {item.kind: item for item in remove_all(account, timeout_s=60)}
        assert remaining["endpoint"].status == "Creating"
        assert "waited" in remaining["endpoint"].problem

    def test_a_refusal_that_time_does_not_heal_ends_at_once(self, account: FakeAccount) -> None:
        account.errors["delete_inference_component", NAME] = [client_error("ValidationException", "no")] * 9
        account.errors["delete_endpoint", NAME] = [client_error("ValidationException", "attached")] * 9
        remaining = remove_all(account)
        assert {"inference component", "endpoint"} <= {item.kind for item in remaining}
        assert account.now_s < 60

    def test_a_component_whose_removal_failed_is_asked_again(self, account: FakeAccount) -> None:
        account.errors["delete_inference_component", NAME] = []
        component = next(thing for thing in account.things if thing.sort == "inference_component")
        asked = 0
        original = account.find

        def failing_once(sort: str, name: str) -> object:
            nonlocal asked
            if sort == "inference_component" and component.gone_s is not None and asked == 0:
                asked += 1
                component.gone_s, component.status = None, "Failed"
            return original(sort, name)

        account.find = failing_once  # type: ignore[method-assign,assignment]
        component.removal_s = 5
        assert remove_all(account) == []
        assert account.removed.count(f"inference_component {NAME}") == 2

    def test_what_cannot_be_looked_at_afterwards_counts_as_there(self, account: FakeAccount) -> None:
        account.things = [thing for thing in account.things if thing.sort == "model"]
        account.errors["describe_model", NAME] = [client_error("AccessDeniedException")]
        assert [item.status for item in remove_all(account)] == ["unknown"]
