"""The context of all services of the embedded AWS, in one object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .fault_injection import Faults
from .hard_links import SharedFiles
from .host_guard import HostGuard
from .network import Network
from .settings import Settings, read_settings, write_settings
from .state.database import Database
from .state.files import private_folder, sweep_temporary
from .state.keys import KeyRing
from .state.logs import LogStore
from .state.metrics import MetricStore
from .state.store import Store

ACCOUNT_ID = "123456789012"


@dataclass
class Emulator:
    """One embedded AWS: its folder, its state, and its settings."""

    state_dir: Path
    account_id: str
    endpoint_url: str
    settings: Settings
    database: Database
    store: Store
    logs: LogStore
    metrics: MetricStore
    keys: KeyRing
    network: Network
    faults: Faults
    host: HostGuard
    shared_files: SharedFiles

    def apply(self, settings: Settings) -> None:
        """Apply these settings from now on, also after a restart."""
        write_settings(self.state_dir / "settings.json", settings)
        self.settings = settings
        self.network.apply(settings.network)
        self.faults.arm(settings.faults)


def open_emulator(state_dir: Path, endpoint_url: str) -> Emulator:
    """Open the state in the folder; an empty or missing folder becomes a new, empty AWS."""
    private_folder(state_dir)
    sweep_temporary(state_dir)
    settings = read_settings(state_dir / "settings.json")
    database = Database(state_dir / "localaws.sqlite3")
    keys = KeyRing(state_dir / "keys.json")
    return Emulator(
        state_dir=state_dir,
        account_id=ACCOUNT_ID,
        endpoint_url=endpoint_url,
        settings=settings,
        database=database,
        store=Store(database),
        logs=LogStore(database),
        metrics=MetricStore(database),
        keys=keys,
        network=Network(settings.network, keys),
        faults=Faults(settings.faults),
        host=HostGuard(state_dir),
        shared_files=SharedFiles(state_dir / "shared-models"),
    )
