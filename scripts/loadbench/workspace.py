"""Paths: the files that the project ships, and the files in the user's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from loadbench.errors import UsageError

PRIVATE_DIR = ".loadbench"

_IN_THE_WHEEL = Path(__file__).resolve().parent / "assets"
PRIVATE_FOLDER = ".loadbench"
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workspace:
    """`assets` holds `terraform/`, `templates/` and the default configurations, and may be read-only.

    `home` is the folder that the user works in.
    """

    assets: Path
    home: Path

    @classmethod
    def here(cls) -> Workspace:
        """The assets of the installed package or of this checkout, and the current folder."""
        return cls(assets=_IN_THE_WHEEL if _IN_THE_WHEEL.is_dir() else _CHECKOUT, home=Path.cwd())

    @property
    def results_dir(self) -> Path:
        """Records and reports, one folder per run."""
        return self.home / "results"

    @property
    def private_dir(self) -> Path:
        """State files, plugins, locks and logs; only the user removes them."""
        return self.home / PRIVATE_FOLDER

    def require_writable(self) -> None:
        """Raise UsageError if nothing can be stored: a read-only folder, or another user's files."""
        for folder in (self.results_dir, self.private_dir):
            place = folder if folder.exists() else self.home
            if not is_writable(place):
                raise UsageError(
                    f"cannot write into {place}: it is read-only or belongs to another user",
                    remedy="Work in a folder of your own: loadbench init FOLDER",
                )

    def run_dir(self, run_id: str) -> Path:
        """Terraform's state and variables of one run; removed together with its resources."""
        return self.private_dir / "runs" / run_id

    @property
    def terraform_root(self) -> Path:
        """The Terraform root module as shipped, the same for every loading method."""
        return self.assets / "terraform"


def is_writable(place: Path) -> bool:
    """Whether files can be created in `place`, or if it does not exist, whether it can be created."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
