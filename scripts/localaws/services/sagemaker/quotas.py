"""Instance quotas for endpoints and the number of instances in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ...emulator import Emulator
from ...errors import AwsError
from ...state.store import Document


def check_quota(emulator: Emulator, region: str, endpoint: str, variants: Iterable[Document]) -> None:
    """Raise ResourceLimitExceeded with AWS's wording if these variants exceed the remaining quota."""
    asked: Counter[str] = Counter()
    for variant in variants:
        asked[variant["InstanceType"]] += variant["InitialInstanceCount"]
    used = instances_in_use(emulator, region)
    for kind, count in asked.items():
        fault = emulator.faults.take("quota", instance_type=kind, endpoint=endpoint)
        quota = 0 if fault is not None else emulator.settings.quota(kind)
        current = 0 if fault is not None else used.get(kind, 0)
        if fault is not None or current + count > quota:
            raise AwsError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{kind} for endpoint usage' is {quota} Instances, with "
                f"current utilization of {current} Instances and a request delta of {count} Instances. "
                "Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas "
                "is not available, contact AWS support to request an increase for this quota.",
            )


def instances_in_use(emulator: Emulator, region: str) -> Mapping[str, int]:
    """Instances by type that are in use by, or reserved for, the endpoints of a region."""
    used: Counter[str] = Counter()
    for record in emulator.store.list(region, "endpoint"):
        if record["EndpointStatus"] == "Failed":
            continue
        pending = record.get("_pending") or {}
        current = [*record["_variants"], *record.get("_shadows", [])]
        is_update = "EndpointConfigName" in pending
        # During an update of the configuration both fleets count, during a scale-out only the larger one.
        wanted = [*pending.get("_variants", []), *pending.get("_shadows", [])]
        for variants in [current, wanted] if is_update else [wanted or current]:
            for variant in variants:
                used[variant["InstanceType"]] += variant["InitialInstanceCount"]
    return used
