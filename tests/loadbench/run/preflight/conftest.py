"""No model on this disk, no hub, no token: what a check finds is what its test has put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.config import Config, load_config
from tests.loadbench.run.preflight.stubs import CONFIG_FILE, changed


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOADBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def config() -> Config:
    return changed(load_config(CONFIG_FILE), hf_model_id="synthetic:llama-tiny")
