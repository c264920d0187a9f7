"""Shaping in virtual time: the asked rates, whoever wakes late and whoever shares."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from localaws.network import Network
from localaws.settings import NetworkShape
from localaws.state.keys import KeyRing

_MB = 1_000_000


class VirtualTime:
    """A clock that only moves when somebody sleeps; every sleep ends `late_s` too late."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self._late_s = late_s
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds + self._late_s, waiting))
        await waiting

    async def run(self, *tasks: asyncio.Task[None]) -> float:
        """Let time pass until all tasks are done; gives the seconds that passed."""
        started_s = self.now_s
        while not all(task.done() for task in tasks):
            for _ in range(10):
                await asyncio.sleep(0)
            if self._sleepers:
                self._sleepers.sort(key=lambda sleeper: sleeper[0])
                until_s, waiting = self._sleepers.pop(0)
                self.now_s = max(self.now_s, until_s)
                waiting.set_result(None)
        return self.now_s - started_s


def _seconds(
    tmp_path: Path,
    shape: NetworkShape | Literal["none"],
    connections: int,
    instance_type: str | None = "ml.g5.2xlarge",
    late_s: float = 0.0,
    instances: int = 1,
) -> float:
    """Virtual seconds for 100 MB on each connection."""
    keys = KeyRing(tmp_path / "keys.json")
    names = [keys.issue(f"i-{number}", instance_type).access_key_id for number in range(instances)]
    time = VirtualTime(late_s)
    network = Network(shape, keys, time.clock, time.sleep)

    async def download(name: str) -> None:
        transfer = network.transfer(name, "to_client")
        await transfer.begin()
        for _ in range(200):
            await transfer.admit(_MB // 2)

    async def all_of_them() -> float:
        tasks = [asyncio.create_task(download(names[n % instances])) for n in range(connections)]
        return await time.run(*tasks)

    return asyncio.run(all_of_them())


def test_one_connection_gets_its_rate_after_the_first_byte(tmp_path: Path) -> None:
    shape = NetworkShape(connection_bytes_per_s=50 * _MB, first_byte_delay_s=0.5)
    assert _seconds(tmp_path, shape, 1) == pytest.approx(2.5, rel=0.01)


def test_connections_do_not_slow_each_other_below_the_instances_rate(tmp_path: Path) -> None:
    shape = NetworkShape(connection_bytes_per_s=50 * _MB, first_byte_delay_s=0)
    assert _seconds(tmp_path, shape, 4) == pytest.approx(2.0, rel=0.01)


def test_all_connections_of_an_instance_share_its_rate(tmp_path: Path) -> None:
    shape = NetworkShape(
        connection_bytes_per_s=90 * _MB, instance_bytes_per_s=100 * _MB, first_byte_delay_s=0
    )
    assert _seconds(tmp_path, shape, 4) == pytest.approx(4.0, rel=0.02)


def test_two_instances_do_not_share_a_rate(tmp_path: Path) -> None:
    shape = NetworkShape(
        connection_bytes_per_s=90 * _MB, instance_bytes_per_s=100 * _MB, first_byte_delay_s=0
    )
    assert _seconds(tmp_path, shape, 4, instances=2) == pytest.approx(2.0, rel=0.02)


def test_the_instance_types_own_figure_is_the_default(tmp_path: Path) -> None:
    # docs/facts/sagemaker.md#instance-figures: ml.g5.2xlarge bursts to 10 Gbit/s, 1.25 GB/s.
    shape = NetworkShape(connection_bytes_per_s=1e12, first_byte_delay_s=0)
    assert _seconds(tmp_path, shape, 25) == pytest.approx(2.0, rel=0.02)


def test_late_wakeups_are_caught_up(tmp_path: Path) -> None:
    shape = NetworkShape(connection_bytes_per_s=100 * _MB, first_byte_delay_s=0)
    assert _seconds(tmp_path, shape, 1, late_s=0.002) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(("shape", "instance_type"), [("none", "ml.g5.2xlarge"), (NetworkShape(), None)])
def test_no_shape_and_the_users_own_key_are_not_slowed(
    tmp_path: Path, shape: NetworkShape | Literal["none"], instance_type: str | None
) -> None:
    assert _seconds(tmp_path, shape, 4, instance_type) == 0.0


def test_bytes_are_counted_by_key_and_direction(tmp_path: Path) -> None:
    keys = KeyRing(tmp_path / "keys.json")
    network = Network("none", keys)
    user = keys.user.access_key_id
    asyncio.run(network.transfer(user, "to_client").admit(7))
    asyncio.run(network.transfer(user, "to_client").admit(3))
    asyncio.run(network.transfer(user, "from_client").admit(5))
    assert (network.bytes_sent(user), network.bytes_received(user), network.bytes_sent("other")) == (10, 5, 0)
