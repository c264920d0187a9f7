"""STS, IAM and all other services, served by moto in this process, with state that survives restarts.

Requests that changed state are recorded and replayed in a new moto at the next start, with the
same random numbers. The records are data only; reading them executes no code.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import io
import json
import logging
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from ..emulator import ACCOUNT_ID
from ..errors import AwsError
from ..protocol.call import Call
from ..protocol.sigv4 import split_target
from ..state.database import Database
from .policy_simulation import simulate

_log = logging.getLogger(__name__)

_READING = (b"Action=Get", b"Action=List", b"Action=Describe")
_PRELOADED = ("sts", "iam")

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Any]


_TABLE = """
CREATE TABLE IF NOT EXISTS moto_requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, seed INTEGER NOT NULL, environ TEXT NOT NULL,
  body BLOB NOT NULL);
"""
# Server variables that a WSGI application needs.
_GATEWAY: dict[str, Any] = {
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
    "wsgi.version": (1, 0),
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
# The parts of a request that moto uses.
_KEPT_VARIABLES = ("REQUEST_METHOD", "PATH_INFO", "RAW_URI", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")
_KEPT_HEADERS = (
    "HTTP_HOST",
    "HTTP_AUTHORIZATION",
    "HTTP_X_AMZ_TARGET",
    "HTTP_X_AMZ_DATE",
    "HTTP_CONTENT_TYPE",
)


_IAM_KINDS = (
    *("roles", "users", "groups", "instance_profiles", "managed_policies", "open_id_providers"),
    *("saml_providers", "certificates", "account_aliases", "virtual_mfa_devices"),
)


class MotoBridge:
    """Runs moto's WSGI applications in one thread, because they share global state and are slow to import."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.script(_TABLE)
        self._apps: dict[str, WsgiApp] = {}
        self._restored: set[str] = set()
        self._iam_at_first: list[int] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")

    def preload(self) -> None:
        """Start importing the services that every Terraform run needs; returns immediately."""
        for service in _PRELOADED:
            self._thread.submit(self._app, service)

    async def load(self, service: str) -> None:
        """Return when the service's state is restored."""
        if service not in self._restored:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._app, service)

    def close(self) -> None:
        """Finish the request in progress."""
        self._thread.shutdown(cancel_futures=True)

    async def run(self, work: Callable[[], web.Response]) -> web.Response:
        """Run code that uses moto, in the thread that imports it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def handle(self, call: Call) -> web.StreamResponse:
        """Answer one request to a service that moto supports."""
        return await self.run(functools.partial(self._answer, call))

    def _answer(self, call: Call) -> web.Response:
        self._app(call.service)
        if call.service == "iam" and (answer := simulate(call, iam_backend())) is not None:
            return answer
        seed, environ = secrets.randbits(31), _environ(call)
        try:
            status, content_type, body = self._ask(call.service, environ, call.body or b"", seed)
        except Exception as error:
            # For requests that AWS rejects as invalid, moto raises anything from KeyError to RecursionError.
            _log.warning("moto failed at a %s request", call.service, exc_info=True)
            raise _not_understood(call) from error
        if status >= 500:
            _log.warning("moto answered a %s request with %d: %s", call.service, status, body[:500])
            raise _not_understood(call)
        is_reading = any(word in (call.body or b"") for word in _READING)
        if status < 400 and call.request.method not in ("GET", "HEAD") and not is_reading:
            self._keep(call.service, seed, environ, call.body or b"")
        return web.Response(body=body, status=status, headers={"Content-Type": content_type})

    def _ask(self, service: str, environ: dict[str, Any], body: bytes, seed: int) -> tuple[int, str, bytes]:
        """(status, content type, body) of moto's response; random numbers are generated from the seed."""
        started: list[tuple[str, list[tuple[str, str]]]] = []
        _moto("moto_api._internal").mock_random.seed(seed)
        answer = self._apps[service](
            {**environ, **_GATEWAY, "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO()},
            lambda status, headers, _=None: started.append((status, headers)),
        )
        content = b"".join(answer)
        status, headers = started[0]
        return int(status[:3]), dict(headers).get("Content-Type", "text/xml"), content

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
            # An exception must reach the bridge instead of becoming Flask's debug page.
            app.config["PROPAGATE_EXCEPTIONS"] = True
            self._apps[service] = app.wsgi_app
            if service == "iam":
                self._iam_at_first = _iam_counts()
            self._restore(service)
            self._restored.add(service)
        return self._apps[service]

    def _keep(self, service: str, seed: int, environ: dict[str, Any], body: bytes) -> None:
        kept = {name: environ[name] for name in (*_KEPT_VARIABLES, *_KEPT_HEADERS) if name in environ}
        self._database.execute(
            "INSERT INTO moto_requests (service, seed, environ, body) VALUES (?, ?, ?, ?)",
            (service, seed, json.dumps(kept), body),
        )
        if self._is_empty(service):
            # No state is left, so the next start does not have to replay the requests.
            self._database.execute("DELETE FROM moto_requests WHERE service = ?", (service,))

    def _is_empty(self, service: str) -> bool:
        """Whether IAM has only its initial content; False for other services."""
        return service == "iam" and _iam_counts() == self._iam_at_first

    def _restore(self, service: str) -> None:
        rows = self._database.query(
            "SELECT seed, environ, body FROM moto_requests WHERE service = ? ORDER BY id", (service,)
        )
        for seed, environ, body in rows:
            try:
                status, _, _ = self._ask(service, json.loads(environ), body, seed)
            except Exception:  # noqa: BLE001 (whatever moto raises, the other requests remain valid)
                status = 500
            if status >= 400:
                _log.warning("replaying a stored %s request failed: %s", service, body[:200])


def iam_backend() -> Any:
    """moto's IAM backend of the account; call it only in the bridge's thread."""
    return _moto("backends").get_backend("iam")[ACCOUNT_ID]["aws"]


def _iam_counts() -> list[int]:
    """The number of IAM resources of each kind."""
    return [len(getattr(iam_backend(), kind)) for kind in _IAM_KINDS]


def _moto(module: str) -> Any:
    """A module of moto, imported on first use because that takes half a second."""
    # AWS managed policies exist, as in a real account.
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
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
        **headers,
    }
