"""Managed instance scaling for an endpoint of components: the service adds an instance when a copy needs one.

Public examples of scaling out such endpoints all use it (docs/facts/aws-evidence.md#capacity-of-components).
An endpoint's configuration cannot change, so the endpoint gets another one: a copy with the scaling in it.
Its name begins with that of the run, so it is found and removed with the run's other resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

_NAME_LENGTH = 63


def apply(client: Any, endpoint: Mapping[str, Any], fewest: int, most: int) -> None:
    """Let the service run between `fewest` and `most` instances of a described endpoint's only variant.

    Raises botocore's ClientError if the service refuses this as well.
    """
    before = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    name = f"{endpoint['EndpointName'][: _NAME_LENGTH - 8]}-{fewest}-{most}"
    if not _exists(client, name):
        client.create_endpoint_config(**_request(client, before, name, fewest, most))
    client.update_endpoint(EndpointName=endpoint["EndpointName"], EndpointConfigName=name)


def _request(client: Any, before: Mapping[str, Any], name: str, fewest: int, most: int) -> dict[str, Any]:
    """What made the present configuration, with scaling and another name."""
    (variant,) = before["ProductionVariants"]
    members = client.meta.service_model.operation_model("CreateEndpointConfig").input_shape.members
    tags = client.list_tags(ResourceArn=before["EndpointConfigArn"])["Tags"]
    scaling = {"Status": "ENABLED", "MinInstanceCount": fewest, "MaxInstanceCount": most}
    return {
        **{member: value for member, value in before.items() if member in members},
        "EndpointConfigName": name,
        "ProductionVariants": [{**variant, "ManagedInstanceScaling": scaling}],
        "Tags": tags,
    }


def _exists(client: Any, name: str) -> bool:
    try:
        client.describe_endpoint_config(EndpointConfigName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":  # "Could not find"
            raise
        return False
    return True
