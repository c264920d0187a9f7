"""botocore's own models of AWS services: operations, their members, types, patterns, bounds and enums.

They ship inside botocore, so what a client can send is known here without a copy of it.
"""

from __future__ import annotations

import functools

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel


@functools.cache
def service_model(service: str) -> ServiceModel:
    """botocore's model of a service, loaded once (tens of milliseconds for SageMaker)."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@functools.cache
def operation_model(service: str, name: str) -> OperationModel | None:
    """The model of an operation; None if the service has no such operation."""
    model = service_model(service)
    return model.operation_model(name) if name in model.operation_names else None
