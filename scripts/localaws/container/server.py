"""The container's HTTP server: `/ping` and `/invocations` (docs/facts/sagemaker.md#container-contract)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from .engine import Engine, Generation, Token
from .errors import RequestError
from .requests import GenerationRequest, parse_request

# SageMaker refuses larger bodies before they get here (docs/facts/sagemaker.md#request-limits).
_MAX_BODY_BYTES = 6 << 20

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves one engine once it is loaded; with `healthy=False`, `/ping` always fails."""

    def __init__(self, model_name: str, *, healthy: bool = True) -> None:
        self._model_name = model_name
        self._healthy = healthy
        self._engine: Engine | None = None
        self._ready_s = 0.0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="generate")

    def ready(self, engine: Engine) -> None:
        """From now on `/ping` answers 200, and says since when (`ready_s`, epoch seconds)."""
        self._engine = engine
        self._ready_s = time.time()

    async def listen(self, port: int) -> None:
        """Bind the port on loopback. Raises OSError if it is taken."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_refuse_browsers])
        app.router.add_get("/ping", self._ping)
        app.router.add_post("/invocations", self._invoke)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    async def _ping(self, request: web.Request) -> web.Response:
        if self._engine is None or not self._healthy:
            return web.json_response({"status": "Unhealthy"}, status=503)
        return web.json_response({"status": "Healthy", "ready_s": self._ready_s})

    async def _invoke(self, http: web.Request) -> web.StreamResponse:
        if self._engine is None:
            return _error(503, "the model is still being loaded")
        cancelled = threading.Event()
        try:
            request = parse_request(await http.read())
            if request.stream:
                return await self._stream(http, request, cancelled)
            generation = await self._run(self._engine, request, None, cancelled)
        except RequestError as error:
            return _error(error.status, str(error))
        finally:
            # Nobody waits any more, be it because of the answer or because the client went away.
            cancelled.set()
        return web.json_response(self._chat(generation) if request.chat else _plain(request, generation))

    async def _stream(
        self, http: web.Request, request: GenerationRequest, cancelled: threading.Event
    ) -> web.StreamResponse:
        pieces = (
            self._chat_events(request, cancelled) if request.chat else self._json_lines(request, cancelled)
        )
        # The status is decided by the first piece: a request that is refused gets an error, not a stream.
        first = await anext(pieces)
        content_type = "text/event-stream" if request.chat else "application/jsonlines"
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(http)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    async def _json_lines(
        self, request: GenerationRequest, cancelled: threading.Event
    ) -> AsyncIterator[bytes]:
        """LMI's `application/jsonlines`: a line per token, the last one with the whole text."""
        held: Token | None = None
        async for item in self._items(request, cancelled):
            if isinstance(item, Token):
                if held is not None:
                    yield _json_line({"token": _token(held)})
                held = item
                continue
            last = {"token": _token(held)} if held is not None else {}
            yield _json_line({**last, **_plain(request, item, finish=True)})

    async def _chat_events(
        self, request: GenerationRequest, cancelled: threading.Event
    ) -> AsyncIterator[bytes]:
        """OpenAI's server-sent events: a chunk per token, then `[DONE]`."""
        identifier = f"chatcmpl-{uuid.uuid4().hex}"
        role: dict[str, str] = {"role": "assistant"}
        async for item in self._items(request, cancelled):
            delta = {**role, "content": item.text} if isinstance(item, Token) else {}
            role = {}
            finish = None if isinstance(item, Token) else _finish_reason(item)
            chunk = {
                "id": identifier,
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": self._model_name,
                "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            }
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    async def _items(
        self, request: GenerationRequest, cancelled: threading.Event
    ) -> AsyncIterator[Token | Generation]:
        """Each token as it comes, then the whole generation."""
        assert self._engine is not None
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Token | None] = asyncio.Queue()

        def send(token: Token | None) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, token)

        running = asyncio.ensure_future(self._run(self._engine, request, send, cancelled))
        running.add_done_callback(lambda _: queue.put_nowait(None))
        while (token := await queue.get()) is not None:
            yield token
        yield await running

    async def _run(
        self,
        engine: Engine,
        request: GenerationRequest,
        on_token: Callable[[Token], None] | None,
        cancelled: threading.Event,
    ) -> Generation:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, engine.generate, request, on_token, cancelled)

    def _chat(self, generation: Generation) -> dict[str, object]:
        message = {"role": "assistant", "content": generation.text}
        count = len(generation.tokens)
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._model_name,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": _finish_reason(generation),
                }
            ],
            "usage": {
                "prompt_tokens": generation.prompt_tokens,
                "completion_tokens": count,
                "total_tokens": generation.prompt_tokens + count,
            },
        }


@web.middleware
async def _refuse_browsers(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse web pages, which can reach a loopback port: they send an Origin, or another Host."""
    if "Origin" in request.headers or request.host.rpartition(":")[0] not in ("127.0.0.1", "localhost"):
        return _error(403, "this port serves the embedded AWS only")
    return await handler(request)


def _plain(request: GenerationRequest, generation: Generation, finish: bool = False) -> dict[str, object]:
    """LMI's answer to `inputs`; with details where they were asked for, or at the end of a stream."""
    text = (generation.prompt_text if request.return_full_text else "") + generation.text
    answer: dict[str, object] = {"generated_text": text}
    if request.details or finish:
        answer["details"] = {
            "finish_reason": generation.finish_reason,
            "generated_tokens": len(generation.tokens),
            "inputs": generation.prompt_text,
        }
        if request.details:
            answer["details"] |= {"tokens": [_token(token) for token in generation.tokens]}  # type: ignore[operator]
    return answer


def _token(token: Token) -> dict[str, object]:
    return {"id": token.id, "text": token.text, "log_prob": token.log_prob}


def _finish_reason(generation: Generation) -> str:
    """OpenAI's word for LMI's."""
    return "length" if generation.finish_reason == "length" else "stop"


def _json_line(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def _error(status: int, text: str) -> web.Response:
    """djl-serving's error body."""
    return web.json_response({"code": status, "message": "prediction failure", "error": text}, status=status)
