"""One file says what an instance type is; benchmark, embedded AWS and facts page agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadbench.errors import ConfigError
from loadbench.instance_types import InstanceType, data_file, instance_specification, instance_types
from loadbench.results.costs import table_price
from loadbench.run.preflight.account import quota_codes
from localaws.instance_types import known_types, machine_type
from localaws.network import instance_bytes_per_s

ROOT = Path(__file__).resolve().parents[2]
# Not a real type: a real one may be added to the file.
NEW = """
["ml.q5e.48xlarge"]
vcpus = 192
memory_gib = 2048
network_gbit_per_s = 3200
disk_gb = 30400
accelerators = 8
accelerator_memory_mib = 144384
can_shard = false
usd_per_hour = 50.0
price_date = "2026-01"
"""


def test_the_embedded_aws_reads_the_same_figures() -> None:
    assert set(known_types()) == set(instance_types())
    for name, known in instance_types().items():
        machine = machine_type(name)
        assert (machine.vcpus, machine.gpus) == (known.vcpus, known.accelerators)
        assert machine.memory_bytes == known.memory_mib * 2**20
        assert machine.disk_bytes == known.disk_gb * 10**9
        assert instance_bytes_per_s(name) == known.network_gbit_per_s * 125e6


def number(text: str) -> float:
    return float(text.replace(",", ""))


def product(text: str) -> float:
    count, _, each = text.rpartition(" × ")
    return number(count or "1") * number(each)


FACTS = re.findall(
    r"^\| (ml\.\S+) \| (\d+) \| ([\d,]+) \| (.+?) \| (.+?) \| (\d+) × (\S+?)(?:, ([\d,]+))?(?: .*)?\|$",
    (ROOT / "docs" / "facts" / "sagemaker.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize("row", FACTS, ids=[row[0] for row in FACTS])
def test_the_facts_page_has_the_same_figures(row: tuple[str, ...]) -> None:
    name, vcpus, memory_gib, network, disk, gpus, _, gpu_mib = row
    known = instance_specification(name)
    assert (known.vcpus, known.memory_gib) == (number(vcpus), number(memory_gib))
    assert known.network_gbit_per_s == number(network.split(" / ")[-1])
    assert known.disk_gb == product(disk)
    assert known.accelerators == number(gpus)
    if gpu_mib and known.family != "p5":  # where the driver reports less than EC2 says
        assert known.accelerator_memory_mib == number(gpu_mib)


def test_the_facts_page_is_read_at_all() -> None:
    assert {name for name, *_ in FACTS} == set(instance_types())


def test_a_new_type_is_one_block_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "instance_types.toml"
    file.write_text(data_file().read_text(encoding="utf-8") + NEW, encoding="utf-8")
    monkeypatch.setattr("loadbench.instance_types.data_file", lambda: file)
    monkeypatch.setattr("localaws.instance_types._FILE", file)
    for cached in (instance_types, known_types):
        cached.cache_clear()
    try:
        assert instance_specification("ml.q5e.48xlarge").accelerators == 8
        assert machine_type("ml.q5e.48xlarge").gpus == 8
        assert instance_bytes_per_s("ml.q5e.48xlarge") == 400e9
        price = table_price("ml.q5e.48xlarge")
        assert price is not None
        assert (price.usd_per_hour, price.date) == (50.0, "2026-01")
        assert "ml.q5e.48xlarge" not in quota_codes()
        with pytest.raises(ConfigError) as caught:
            instance_specification("ml.q5f.48xlarge")
        assert "did you mean ml.q5e.48xlarge" in caught.value.remedy
        assert "q5e" in caught.value.remedy
    finally:
        for cached in (instance_types, known_types):
            cached.cache_clear()


@pytest.mark.parametrize("wrong", [{"vcpus": 0}, {"memory_gib": "16"}, {"gpus": 1}, {"usd_per_hour": -1}])
def test_a_wrong_figure_is_refused(wrong: dict[str, object]) -> None:
    figures = instance_types()["ml.g5.xlarge"].model_dump() | wrong
    with pytest.raises(ValueError, match=next(iter(wrong))):
        InstanceType(**figures)


def test_a_price_has_its_date() -> None:
    for known in instance_types().values():
        assert (known.usd_per_hour is None) == (known.price_date == "unknown")
