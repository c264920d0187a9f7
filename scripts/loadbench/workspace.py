"""Where things lie: what the project ships, and what a checkout collects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """`assets` holds `terraform/` and `templates/`; `home` is the folder that the user works in."""

    assets: Path
    home: Path

    @classmethod
    def here(cls) -> Workspace:
        """The checkout that this file belongs to, and the current folder."""
        return cls(assets=Path(__file__).resolve().parents[2], home=Path.cwd())

    @property
    def results_dir(self) -> Path:
        """Records and reports, a folder a run."""
        return self.home / "results"

    @property
    def private_dir(self) -> Path:
        """State files, plugins, locks and logs; removed by nobody but the user."""
        return self.home / ".loadbench"

    def run_dir(self, run_id: str) -> Path:
        """Terraform's state and variables of one run; gone once its resources are."""
        return self.private_dir / "runs" / run_id

    def terraform_root(self, path: str) -> Path:
        """The Terraform root of one path."""
        return self.assets / "terraform" / path
