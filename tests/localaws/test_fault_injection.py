"""Fault injection: which strikes, how often, and at which rate."""

from __future__ import annotations

from localaws.fault_injection import Faults
from localaws.settings import FaultSpec


def test_a_fault_strikes_as_often_as_ordered() -> None:
    faults = Faults([FaultSpec(kind="slow_down", times=2)])
    assert [faults.take("slow_down") is not None for _ in range(4)] == [True, True, False, False]


def test_a_fault_without_a_count_strikes_for_ever() -> None:
    faults = Faults([FaultSpec(kind="slow_down")])
    assert all(faults.take("slow_down") for _ in range(100))


def test_every_match_field_must_fit_and_patterns_do() -> None:
    faults = Faults([FaultSpec(kind="access_denied", bucket="models", key="a/*.safetensors")])
    assert faults.take("access_denied", bucket="models", key="a/b.safetensors")
    assert not faults.take("access_denied", bucket="models", key="a/b.json")
    assert not faults.take("access_denied", bucket="other", key="a/b.safetensors")
    assert not faults.take("slow_down", bucket="models", key="a/b.safetensors")


def test_a_field_that_the_request_does_not_have_does_not_fit() -> None:
    faults = Faults([FaultSpec(kind="health_check", endpoint="*")])
    assert not faults.take("health_check")
    assert not faults.take("health_check", endpoint=None)
    assert faults.take("health_check", endpoint="any")


def test_throttling_lets_the_ordered_rate_through() -> None:
    now_s = 0.0
    faults = Faults([FaultSpec(kind="throttling", requests_per_s=10)], clock=lambda: now_s)
    passed = 0
    for step in range(1000):
        now_s = step / 100  # 100 requests a second for 10 seconds
        passed += faults.take("throttling") is None
    assert 100 <= passed <= 111  # the rate, and the bucket that was full at the start


def test_arming_replaces_and_starts_the_counts_anew() -> None:
    faults = Faults([FaultSpec(kind="quota", times=1)])
    assert faults.take("quota")
    faults.arm([FaultSpec(kind="quota", times=1)])
    assert faults.take("quota")
    faults.arm([])
    assert not faults.take("quota")
