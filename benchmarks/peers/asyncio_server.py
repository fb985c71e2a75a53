"""What one writes in an afternoon: uvicorn, a queue, a thread: `python benchmarks/peers/asyncio_server.py PORT`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvicorn
from model import MAX_BATCH, WAIT_S, Model, decoded

Waiting = tuple[bytes, "asyncio.Future[dict[str, Any]]"]


class App:
    """An ASGI application that answers POST with one picture's prediction."""

    def __init__(self) -> None:
        self.model = Model()
        self.queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self.worker: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        if self.worker is None:
            self.worker = asyncio.create_task(self._work())
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["method"] == "POST":
            answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            self.queue.put_nowait((decoded(json.loads(body)["image"]), answer))
            text = json.dumps(await answer).encode()
        else:
            text = b"{}"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def _work(self) -> None:
        while True:
            batch = [await self.queue.get()]
            try:
                async with asyncio.timeout(WAIT_S):
                    while len(batch) < MAX_BATCH:
                        batch.append(await self.queue.get())
            except TimeoutError:
                pass
            answers = await asyncio.to_thread(self.model.predict, [jpeg for jpeg, _ in batch])
            for (_, waiting), answer in zip(batch, answers, strict=True):
                if not waiting.done():
                    waiting.set_result(answer)


if __name__ == "__main__":
    uvicorn.run(App(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, lifespan="off")
