"""The server process: locks its folder, listens on loopback, stops its children when it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import socket
import sys
from pathlib import Path

from aiohttp.http import HttpProcessingError

from ..emulator import open_emulator
from ..errors import LocalAwsError
from ..services.autoscaling.scaler import Scaler
from ..services.sagemaker import api as sagemaker_api
from ..state.files import state_folder, write_private
from .daemon_file import DaemonFileError, read_daemon_file
from .gateway import Gateway
from .lock import EXIT_ALREADY_RUNNING, lock

_log = logging.getLogger(__name__)

# Below the range that systems take for outgoing connections: the kept port is still free after a restart.
_PORTS = range(20_000, 30_000)
_PORT_ATTEMPTS = 50

# How long requests in progress may still take when the server stops.
_LAST_ANSWERS_S = 1.0


class DaemonError(LocalAwsError):
    """The server cannot start."""


def listen(kept_port: int | None) -> socket.socket:
    """A socket on loopback: on the last port if it is free, otherwise on any free one."""
    candidates = ([kept_port] if kept_port else []) + random.sample(_PORTS, _PORT_ATTEMPTS)
    for port in candidates:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen(1024)
        return listener
    raise DaemonError(
        f"no free port found between {_PORTS.start} and {_PORTS.stop} after {_PORT_ATTEMPTS} tries"
    )


def kept_port(state_dir: Path) -> int | None:
    """The port of the last start."""
    try:
        return read_daemon_file(state_dir)["port"]
    except (FileNotFoundError, DaemonFileError):
        return None


async def serve(state_dir: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    last_port = kept_port(state_dir)
    listener = listen(last_port)
    port = listener.getsockname()[1]
    if last_port not in (None, port):
        _log.warning("port %d is taken by another program; listening on %d from now on", last_port, port)
    emulator = open_emulator(state_dir, f"http://127.0.0.1:{port}")
    gateway = Gateway(emulator)
    protocol = gateway.server()
    server = await loop.create_server(protocol, sock=listener)
    write_private(state_dir / "daemon.json", json.dumps({"pid": os.getpid(), "port": port}).encode())
    _log.info("listening on %s, process %d", emulator.endpoint_url, os.getpid())
    gateway.start()
    await sagemaker_api.start(emulator)
    scaler = Scaler(emulator)
    scaler.start()
    await stopping.wait()
    _log.info("stopping")
    server.close()
    await protocol.shutdown(_LAST_ANSWERS_S)
    await scaler.close()
    await sagemaker_api.stop(emulator)
    await gateway.close()
    emulator.database.close()
    _log.info("stopped")


def _is_not_bad_http(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def main() -> None:
    """Run as `python -m localaws.server.daemon STATE_DIR`, with stdout and stderr on the log file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Invalid HTTP gets a 400; logging the parser's tracebacks would only fill the disk.
    logging.getLogger("aiohttp.server").addFilter(_is_not_bad_http)
    os.umask(0o077)
    try:
        state_dir = state_folder(Path(sys.argv[1]))
        lock(state_dir)  # held until this process is gone, and its files with it
        asyncio.run(serve(state_dir))
    except BlockingIOError:
        sys.exit(EXIT_ALREADY_RUNNING)
    except LocalAwsError as error:
        # The command that started this process shows the end of the log: one sentence, no traceback.
        _log.error("cannot start: %s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
