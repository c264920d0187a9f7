"""STS, IAM and whatever else is not this package's own: served by moto, in this process, kept over restarts.

After every request that may have changed something, that service's backends are pickled. Only the key pair's
owner can write the folder they lie in, so reading them back is as safe as importing this package.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from ..errors import AwsError
from ..protocol.call import Call
from ..protocol.sigv4 import split_target
from ..state.files import private_folder, write_private

_log = logging.getLogger(__name__)

_READING = (b"Action=Get", b"Action=List", b"Action=Describe")
_PRELOADED = ("sts", "iam")

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Any]


class MotoBridge:
    """Runs moto's WSGI applications in one thread: they share global state and are slow to import."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._apps: dict[str, WsgiApp] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")

    def preload(self) -> None:
        """Begin to import what every Terraform run asks for; returns at once."""
        for service in _PRELOADED:
            self._thread.submit(self._app, service)

    def close(self) -> None:
        """Finish the request in progress."""
        self._thread.shutdown(cancel_futures=True)

    async def handle(self, call: Call) -> web.StreamResponse:
        """Answer one request of a service that moto knows."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, call)

    def _answer(self, call: Call) -> web.Response:
        app = self._app(call.service)
        started: list[tuple[str, list[tuple[str, str]]]] = []
        try:
            body = b"".join(
                app(_environ(call), lambda status, headers, _=None: started.append((status, headers)))
            )
        except Exception as error:
            # moto raises anything from KeyError to RecursionError at requests that AWS would call invalid.
            _log.warning("moto failed at a %s request", call.service, exc_info=True)
            raise _not_understood(call) from error
        status, headers = started[0]
        if status.startswith("5"):
            _log.warning("moto answered a %s request with %s: %s", call.service, status, body[:500])
            raise _not_understood(call)
        if call.request.method not in ("GET", "HEAD") and not any(
            word in (call.body or b"") for word in _READING
        ):
            self._keep(call.service)
        content_type = dict(headers).get("Content-Type", "text/xml")
        return web.Response(body=body, status=int(status[:3]), headers={"Content-Type": content_type})

    def _app(self, service: str) -> WsgiApp:
        if service not in self._apps:
            backends = _moto("backends")
            if service not in backends.list_of_moto_modules():
                raise AwsError(
                    "UnknownOperationException", f"The embedded AWS has no service {service!r}.", 404
                )
            try:
                app = _moto("server").create_backend_app(service)
            except ImportError as error:
                text = f"The embedded AWS has no service {service!r}: {error}."
                raise AwsError("UnknownOperationException", text, 404) from error
            self._restore(service)
            # An exception must reach the bridge, not become Flask's page for developers.
            app.config["PROPAGATE_EXCEPTIONS"] = True
            self._apps[service] = app.wsgi_app
        return self._apps[service]

    def _keep(self, service: str) -> None:
        accounts = {name: dict(regions) for name, regions in _moto("backends").get_backend(service).items()}
        try:
            write_private(self._folder / f"{service}.pickle", pickle.dumps(accounts))
        except (pickle.PicklingError, AttributeError, TypeError):
            _log.warning("%s cannot be kept over a restart", service, exc_info=True)

    def _restore(self, service: str) -> None:
        path = self._folder / f"{service}.pickle"
        if path.exists():
            for account, regions in pickle.loads(path.read_bytes()).items():  # noqa: S301 (see the module's text)
                _moto("backends").get_backend(service)[account].update(regions)


def _moto(module: str) -> Any:
    """A module of moto, imported at first need: it takes half a second."""
    return importlib.import_module(f"moto.{module}")


def _not_understood(call: Call) -> AwsError:
    return AwsError("ValidationError", f"The embedded AWS's {call.service} cannot process this request.")


def _environ(call: Call) -> dict[str, Any]:
    path, query = split_target(call.request.raw_path)
    body = call.body or b""
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.request.headers.items()
    }
    return {
        "REQUEST_METHOD": call.request.method,
        "PATH_INFO": path,
        "RAW_URI": call.request.raw_path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": call.request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
    }
