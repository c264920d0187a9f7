"""InvokeEndpoint: errors of the model, limits, variants, and the real event stream."""

from __future__ import annotations

import json
import os
import signal
import struct
import time
import zlib
from collections.abc import Iterator

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from localaws.protocol import eventstream

from ...conftest import EmbeddedAws
from .conftest import INSTANCE_TYPE, Deployer


@pytest.fixture(scope="module")
def standing(_shared_aws: EmbeddedAws, _model_in_s3: None) -> Iterator[tuple[Deployer, str]]:
    """An endpoint with two variants that every test of this module may ask."""
    deployer = Deployer(_shared_aws)
    config = deployer.name()
    variants = [
        {
            "VariantName": variant,
            "ModelName": deployer.model(),
            "InstanceType": INSTANCE_TYPE,
            "InitialInstanceCount": 1,
            "InitialVariantWeight": weight,
        }
        for variant, weight in (("Main", 1.0), ("Idle", 0.0))
    ]
    deployer.sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)
    name = deployer.endpoint(config)
    described = deployer.endpoint_settled(name)
    assert described["EndpointStatus"] == "InService", described
    yield deployer, name
    deployer.clean_up()


def test_requests_go_by_weight_unless_a_variant_is_named(standing: tuple[Deployer, str]) -> None:
    deploy, name = standing
    body = json.dumps({"inputs": "x", "parameters": {"max_new_tokens": 1}})

    by_weight = {
        deploy.runtime.invoke_endpoint(EndpointName=name, Body=body)["InvokedProductionVariant"]
        for _ in range(8)
    }
    named = deploy.runtime.invoke_endpoint(EndpointName=name, Body=body, TargetVariant="Idle")

    assert by_weight == {"Main"}
    assert named["InvokedProductionVariant"] == "Idle"
    with pytest.raises(ClientError, match="Variant absent not found"):
        deploy.runtime.invoke_endpoint(EndpointName=name, Body=body, TargetVariant="absent")


def test_a_models_error_keeps_its_own_status_and_words(standing: tuple[Deployer, str]) -> None:
    deploy, name = standing

    with pytest.raises(deploy.runtime.exceptions.ModelError) as error:
        deploy.runtime.invoke_endpoint(EndpointName=name, Body=b"{")

    answer = error.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 400
    assert "not JSON" in answer["OriginalMessage"]
    assert "Received client error (400) from primary with message" in answer["Error"]["Message"]
    assert f"/aws/sagemaker/Endpoints/{name}" in answer["LogStreamArn"]


def test_a_body_over_six_mebibytes_is_refused(standing: tuple[Deployer, str]) -> None:
    deploy, name = standing
    fits = "x" * (6 << 20)  # no JSON, so that the container refuses it without a word of it generated

    with pytest.raises(deploy.runtime.exceptions.ModelError):
        deploy.runtime.invoke_endpoint(EndpointName=name, Body=fits)
    with pytest.raises(ClientError) as error:
        deploy.runtime.invoke_endpoint(EndpointName=name, Body=fits + "x")

    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_an_endpoint_that_does_not_exist_is_a_validation_error(standing: tuple[Deployer, str]) -> None:
    deploy, _ = standing

    with pytest.raises(deploy.runtime.exceptions.ValidationError, match="absent of account 123456789012"):
        deploy.runtime.invoke_endpoint(EndpointName="absent", Body=b"{}")


def test_tokens_arrive_as_events_while_the_model_still_works(standing: tuple[Deployer, str]) -> None:
    deploy, name = standing
    parameters = {"max_new_tokens": 100, "min_new_tokens": 100}
    body = json.dumps({"inputs": "hello", "parameters": parameters, "stream": True})

    answer = deploy.runtime.invoke_endpoint_with_response_stream(EndpointName=name, Body=body)
    assert answer["ContentType"] == "application/jsonlines"
    arrivals, content = [], b""
    for event in answer["Body"]:
        arrivals.append(time.monotonic())
        content += event["PayloadPart"]["Bytes"]

    lines = [json.loads(line) for line in content.splitlines()]
    assert len(lines) == 100
    whole = deploy.runtime.invoke_endpoint(
        EndpointName=name, Body=json.dumps({"inputs": "hello", "parameters": parameters})
    )
    assert lines[-1]["generated_text"] == json.loads(whole["Body"].read())["generated_text"]
    # One event for all would mean that the stream was gathered first.
    assert len(arrivals) > 10


def test_a_refused_stream_is_a_model_error_before_it_begins(standing: tuple[Deployer, str]) -> None:
    deploy, name = standing

    with pytest.raises(deploy.runtime.exceptions.ModelError):
        deploy.runtime.invoke_endpoint_with_response_stream(EndpointName=name, Body=b'{"stream": true}')


@given(payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_botocore_reads_every_frame_back(payloads: list[bytes]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(eventstream.payload_part(payload) for payload in payloads))

    events = list(buffer)

    assert [event.payload for event in events] == payloads
    assert all(event.headers[":event-type"] == "PayloadPart" for event in events)


def test_a_frames_checksums_are_over_what_the_specification_says() -> None:
    frame = eventstream.frame({":a": "b"}, b"payload")

    total, headers_bytes, prelude_crc = struct.unpack("!III", frame[:12])
    assert total == len(frame)
    assert headers_bytes == len(b"\x02:a\x07\x00\x01b")
    assert prelude_crc == zlib.crc32(frame[:8])
    assert struct.unpack("!I", frame[-4:])[0] == zlib.crc32(frame[:-4])


def test_a_stream_that_breaks_raises_in_the_reader(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)
    parameters = {"max_new_tokens": 200, "min_new_tokens": 200}
    body = json.dumps({"inputs": "hello", "parameters": parameters, "stream": True})
    answer = deploy.runtime.invoke_endpoint_with_response_stream(EndpointName=name, Body=body)
    events = iter(answer["Body"])
    next(events)

    os.kill(deploy.processes(name)[0]["pid"], signal.SIGKILL)

    with pytest.raises(EventStreamError, match="ModelStreamError"):
        list(events)
