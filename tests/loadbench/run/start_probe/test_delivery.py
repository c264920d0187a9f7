"""How the probe gets into a container, and what its lines add to a timeline."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from loadbench.config import Config, load_config
from loadbench.errors import ConfigError
from loadbench.results.timeline import Span, divide_phases, partition
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.probe_lines import add_probe, find_probe
from loadbench.run.start_probe.delivery import check_supported, upload_probe, with_probe

CONFIG = Path(__file__).resolve().parents[4] / "config.yaml"


def config(**section: object) -> Config:
    standard = load_config(CONFIG, []).model_dump(mode="json")
    standard["standard_deployment_info"] |= section
    standard["fast_model_loading_info"] |= section
    return Config.model_validate(standard)


def test_it_is_off_by_default_and_refused_where_no_model_data_brings_it() -> None:
    assert not config().standard_deployment_info.start_probe
    check_supported(config(start_probe=True), "standard")
    check_supported(config(), "fast")
    with pytest.raises(ConfigError, match=r"fast_model_loading_info\.start_probe"):
        check_supported(config(start_probe=True), "fast")
    with pytest.raises(ConfigError, match="no model data"):
        check_supported(config(start_probe=True, weights_from="hub"), "standard")


def test_it_lies_beside_the_model_and_its_folder_is_the_first_on_the_path() -> None:
    sent: list[dict[str, object]] = []
    client = SimpleNamespace(put_object=lambda **request: sent.append(request))
    upload_probe(SimpleNamespace(client=lambda _: client), "s3://a-bucket/models/digest/")
    (request,) = sent
    assert (request["Bucket"], request["Key"]) == (
        "a-bucket",
        "models/digest/loadbench-probe/sitecustomize.py",
    )
    environment = with_probe({"PYTHONPATH": "/theirs", "A": "1"})
    assert environment == {"PYTHONPATH": "/opt/ml/model/loadbench-probe:/theirs", "A": "1"}


PROBED = (
    "[probe] event=process pid=7 at=11.000 began=10.500",
    "WARN  PyProcess W-7-model-stderr: [probe] event=import pid=7 module=torch start=11.000 end=14.000",
    "[probe] event=import pid=7 module=vllm start=10.900 end=16.000",
    "[probe] event=process pid=9 at=17.000 began=16.500",
    "[probe] event=import pid=9 module=torch start=17.000 end=17.400",
    "[probe] event=first_weight pid=9 at=18.000",
    "[probe] event=first_weight pid=7 at=18.500",
    "[probe] event=first_forward pid=9 at=",
)


def test_its_lines_complete_the_start_from_the_first_process_on() -> None:
    lines = [LogLine(16.0, "s", message) for message in PROBED]
    phases = [Span(name="container_start", start_s=16.0, end_s=20.0, clock="container")]
    spans = add_probe(lines, phases)
    (share,) = [share for share in partition(spans, 10.5, 20.0) if share.name == "container_start"]
    assert share.seconds == pytest.approx(9.5)
    (imports,) = divide_phases(spans, 10.5, 20.0)
    # Nested imports count once; the second process imported for 0.4 s.
    assert imports.name == "imports"
    assert imports.seconds == pytest.approx(5.1 + 0.4)
    found = find_probe(lines)
    assert found is not None
    assert (found.processes, found.first_weight_s, found.first_forward_s) == (2, 18.0, None)


def test_a_log_without_its_lines_is_as_before() -> None:
    lines = [LogLine(1.0, "s", "a line about [probe] event")]
    phases = [Span(name="container_start", start_s=1.0, end_s=2.0, clock="container")]
    assert add_probe(lines, phases) == phases
    assert find_probe(lines) is None
    assert add_probe([LogLine(1.0, "s", PROBED[0])], []) == []


def test_a_line_that_was_cut_anywhere_adds_nothing_wrong() -> None:
    whole = PROBED[2]
    for length in range(len(whole)):
        lines = [LogLine(1.0, "s", whole[:length])]
        phases = [Span(name="container_start", start_s=1.0, end_s=2.0, clock="container")]
        imports = [span for span in add_probe(lines, phases) if span.name == "imports"]
        assert all(span.start_s <= span.end_s for span in imports)
        find_probe(lines)
