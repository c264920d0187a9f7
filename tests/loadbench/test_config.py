"""The configuration: what loads, what is refused, and how well the refusal reads."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from loadbench.config import Config, load_config
from loadbench.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SEED = Path(__file__).parent / "fixtures" / "seed.yaml"
DEFAULT = ROOT / "config.yaml"


def written(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_seed_block_loads_character_for_character() -> None:
    config = load_config(SEED, ["target=aws"])
    assert config.target == "aws"
    assert config.deployment("standard").hf_model_id == "meta-llama/Llama-3.1-8B-Instruct"
    assert config.deployment("standard").use_hf_token is True
    assert config.deployment("standard").container_env_vars["OPTION_MAX_MODEL_LEN"] == "6000"
    assert config.deployment("fast").bucket is None
    assert config.image("fast") == (
        "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
    )
    assert config.sample_input("standard")["inputs"] == "What is the capital of France?"
    assert config.weights_from("standard") == "s3"


def test_the_committed_default_runs_on_the_embedded_target() -> None:
    config = load_config(DEFAULT)
    assert config.target == "local"
    assert config.weights_from("standard") == config.weights_from("fast") == "s3"
    assert config.endpoint_kind("standard") == "model_based"
    assert config.endpoint_kind("fast") == "inference_component"


def test_like_for_like_uses_one_endpoint_kind_and_one_source() -> None:
    config = load_config(SEED, ["target=aws", "benchmark.like_for_like=true"])
    assert {config.endpoint_kind("standard"), config.endpoint_kind("fast")} == {"inference_component"}
    assert {config.weights_from("standard"), config.weights_from("fast")} == {"s3"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("standard_deployment_info.hf_modelid=x", "did you mean 'hf_model_id'"),
        (
            "standard.instance_type=ml.g5.xlarge",
            "--set standard.instance_type: unknown key, did you mean 'st",
        ),
        ("fast.deploy.x=1", "--set fast.deploy.x: unknown key, did you mean 'fast_model_loading_info'"),
        ("benchmrk.pairs=3", "did you mean 'benchmark'"),
        ("benchmark.pairs=three", "benchmark.pairs"),
        ("benchmark.pairs=0", "greater than or equal to 1"),
        ("target=azure", "'local' or 'aws'"),
        ("region=Oregon", "region"),
        ("local.network=fast", "'none' or a section with rates"),
        ("local.network.first_byte_dely_s=1", "did you mean 'first_byte_delay_s'"),
        ("region=us-west-٢", "region"),
        ("fast_model_loading_info.container_env_vars.OPTION_X=[1]", "valid string"),
        ('standard_deployment_info.hf_model_id="a\\0b"', "not text"),
        ('standard_deployment_info.sample_input={x: "\\ud800"}', "not text"),
        ("pricing.usd_per_hour={ml.g5.xlarge: .inf}", "finite"),
        ("benchmark.seed=0" + "9" * 5000, "benchmark.seed"),
        ("benchmark.seed=" + "9" * 5000, "benchmark.seed"),
        ("local.faults=" + "[" * 5000, "local.faults"),
        ("local.faults=" + "[" * 40 + "]" * 40, "deeper than 32"),
        ("standard_deployment_info.container_startup_health_check_timeout=10", "60"),
        ("standard_deployment_info.sagemaker_exec_role=my-role", "sagemaker_exec_role"),
        ("standard_deployment_info=", "standard_deployment_info"),
    ],
)
def test_a_wrong_key_is_refused_by_name(override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(DEFAULT, [override])
    assert words in caught.value.message
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_a_location_of_the_weights_is_not_replaced_in_silence() -> None:
    override = "fastload_info.container_env_vars.FASTLOAD_LOCATION=s3://mine/"
    with pytest.raises(ConfigError, match="remove FASTLOAD_LOCATION, which is set"):
        load_config(DEFAULT.parent / "docs" / "examples" / "vllm.yaml", [override])


def test_a_wrong_key_is_refused_with_its_line(tmp_path: Path) -> None:
    text = SEED.read_text(encoding="utf-8").replace("  instance_count: 1", "  instance_count: many")
    line = next(n for n, content in enumerate(text.splitlines(), 1) if "instance_count" in content)
    with pytest.raises(ConfigError, match=f"line {line}, fast_model_loading_info.instance_count"):
        load_config(written(tmp_path, text))


# What YAML 1.1 would take for something else than text, and how it must arrive.
AS_WRITTEN = [
    *(
        "012345670123",
        "0755",
        "0o755",
        "0x1F90",
        "0b101",
        "1_000_000",
        "+5",
        "6000",
        "123456789012345678901234",
    ),
    *(
        "1:4",
        "22:30:00",
        "190:20:30.15",
        "0.30",
        "1e3",
        "1.0",
        ".5",
        "5.",
        ".inf",
        "-.inf",
        ".nan",
        "6.02e+23",
    ),
    *("2025-01-01", "2025-01-01T10:00:00Z", "2001-12-14 21:59:43.10 -5"),
    *("no", "yes", "on", "OFF", "y", "true", "False", "null", "~", "Null", "=", "<<", "08", "0.30.0"),
]


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_a_value_of_the_container_environment_is_the_text_of_the_file(tmp_path: Path, text: str) -> None:
    """In block and in flow style, quoted or not, by anchor, by merge and by --set: always the same text."""
    document = f"""\
target: local
standard_deployment_info: &section
  hf_model_id: a/b
  image_uri: registry/image:1
  instance_type: ml.g5.2xlarge
  container_env_vars: &variables
    BLOCK: {text}
    QUOTED: "{text}"
    COMMENT: {text}   # a comment
fast_model_loading_info:
  <<: *section
streamer_info:
  <<: *section
  container_env_vars: {{<<: *variables, FLOW: {text} }}
"""
    overrides = [f"standard_deployment_info.container_env_vars.SET={text}"]
    overrides += [f"fast_model_loading_info.container_env_vars={{SET: {text} }}"]
    config = load_config(written(tmp_path, document), overrides)
    as_written = {"BLOCK": text, "QUOTED": text, "COMMENT": text}
    assert config.deployment("standard").container_env_vars == {**as_written, "SET": text}
    assert config.deployment("fast").container_env_vars == {"SET": text}
    assert config.deployment("streamer").container_env_vars == {**as_written, "FLOW": text}


def test_a_name_of_the_container_environment_is_the_text_of_the_file_too() -> None:
    config = load_config(
        DEFAULT, ["standard_deployment_info.container_env_vars={NO: 1, Y: 2, ON: , NULL: 3}"]
    )
    assert config.deployment("standard").container_env_vars == {"NO": "1", "Y": "2", "ON": "", "NULL": "3"}


def test_an_anchor_that_is_a_number_elsewhere_stays_one(tmp_path: Path) -> None:
    text = DEFAULT.read_text(encoding="utf-8").replace(
        "container_env_vars:\n", "container_env_vars:\n    C: *c\n"
    )
    config = load_config(written(tmp_path, f"pricing: {{usd_per_hour: {{ml.g5.xlarge: &c 0.50}}}}\n{text}"))
    assert config.pricing.usd_per_hour == {"ml.g5.xlarge": 0.5}
    assert config.deployment("fast").container_env_vars["C"] == "0.50"


@pytest.mark.parametrize("text", ["0755", "1:30", "22:30:00", "2025-01-01", "2025-01-01T10:00:00Z"])
def test_the_sample_request_has_no_numbers_or_dates_that_nobody_wrote(text: str) -> None:
    config = load_config(DEFAULT, [f"standard_deployment_info.sample_input={{inputs: {text}}}"])
    assert config.sample_input("standard") == {"inputs": text}
    parameters = "{max_new_tokens: 100, temperature: 0.7, do_sample: true, n: 10, x: 0}"
    config = load_config(DEFAULT, [f"standard_deployment_info.sample_input={parameters}"])
    assert config.sample_input("standard") == yaml.safe_load(parameters)


def test_aliases_that_stand_for_billions_of_values_are_refused(tmp_path: Path) -> None:
    lines = ["x0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    text = "sample: {" + ", ".join(lines) + "}\n" + DEFAULT.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="20,000 values"):
        load_config(written(tmp_path, text))


def test_a_device_is_no_configuration_and_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_config(Path("/dev/zero"))
    marked = written(tmp_path, "\ufeff" + DEFAULT.read_text(encoding="utf-8"))
    assert load_config(marked).digest == load_config(DEFAULT).digest


def test_a_value_of_the_container_environment_keeps_its_spaces() -> None:
    config = load_config(DEFAULT, ["standard_deployment_info.container_env_vars.TEXT=' a ${b} \"'"])
    assert config.deployment("standard").container_env_vars["TEXT"] == ' a ${b} "'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("- a\n- b\n", "list"),
        ("just words", "str"),
        ("a: [1, 2", "line"),
        ("target: local\ntarget: aws\n", "duplicate key"),
        ("a: &a [*a]\n", "config.yaml"),
        ("a: !!python/object:os.system {}\n", "line"),
        ("region: \x00\n", "config.yaml"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_explained(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(written(tmp_path, text))


def test_a_folder_a_missing_and_a_binary_file_are_explained(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    for file in (tmp_path, tmp_path / "absent.yaml", binary):
        with pytest.raises(ConfigError, match=str(file.name)):
            load_config(file)


def test_the_digest_changes_with_what_is_measured_and_not_with_how_often() -> None:
    config = load_config(DEFAULT)
    assert load_config(DEFAULT, ["benchmark.pairs=5"]).digest == config.digest
    assert (
        load_config(DEFAULT, ["fast_model_loading_info.instance_type=ml.g5.xlarge"]).digest != config.digest
    )
    assert load_config(DEFAULT, ["local.network=none"]).digest != config.digest


VALUES: list[Any] = [None, True, -1, 0, 10**30, 1.5, float("nan"), float("inf"), [], [1], {}, {"a": 1}]
VALUES += ["", " ", "yes", "é🙂\u202e", "x" * 5000, "${jndi}", "\n", "2025-01-01", b"\xff"]
VALUES += [{1: 2}, {None: None}, [[[[]]]]]


def mutate(document: dict[str, Any], draw: random.Random) -> None:
    place: Any = document
    while True:
        key = draw.choice([*place, "unknown", "größe", 5]) if place else "unknown"
        if isinstance(place.get(key), dict) and place[key] and draw.random() < 0.7:
            place = place[key]
            continue
        if draw.random() < 0.2:
            place.pop(key, None)
        else:
            place[key] = draw.choice(VALUES)
        return


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 4))
def test_any_mutation_loads_or_is_refused_with_a_message(
    tmp_path_factory: Any, seed: int, count: int
) -> None:
    draw = random.Random(seed)
    document = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    for _ in range(count):
        mutate(document, draw)
    file = tmp_path_factory.getbasetemp() / "mutated.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=draw.random() < 0.5), encoding="utf-8")
    try:
        assert isinstance(load_config(file), Config)
    except ConfigError as error:
        assert error.message
        assert error.remedy
        assert error.exit_code == 2


def test_a_configuration_without_the_streamers_section_has_two_paths() -> None:
    config = load_config(SEED, ["target=aws"])
    assert config.paths == ("standard", "fast")
    with pytest.raises(ConfigError) as caught:
        config.deployment("streamer")
    assert "streamer_info" in caught.value.message
    added = yaml.safe_load(caught.value.details.partition("\n\n")[2])
    completed = yaml.safe_load(SEED.read_text(encoding="utf-8")) | added
    assert Config.model_validate(completed).paths == ("standard", "fast", "streamer")


def test_the_streamer_reads_the_bucket_whatever_the_target_and_answers_the_same_question() -> None:
    config = load_config(DEFAULT)
    assert config.weights_from("streamer") == "s3"
    assert load_config(DEFAULT, ["target=aws"]).weights_from("streamer") == "s3"
    assert config.endpoint_kind("streamer") == "model_based"
    request = config.sample_input("streamer")
    assert request["messages"] == [{"role": "user", "content": "What is the capital of France?"}]
    assert (request["max_tokens"], request["temperature"]) == (100, 0.7)


def test_a_data_type_has_one_name_whichever_server_reads_it() -> None:
    config = load_config(DEFAULT)
    assert config.deployment("streamer").container_env_vars["SM_VLLM_DTYPE"] == "bfloat16"
    assert {config.deployment(path).dtype for path in config.paths} == {"bf16"}


def test_a_misspelt_key_of_an_optional_section_is_recognized() -> None:
    with pytest.raises(ConfigError, match="did you mean 'image_uri'"):
        load_config(DEFAULT, ["streamer_info.image_url=x"])
