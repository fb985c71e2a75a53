"""A server of this process, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import uvloop

from serving.model_server.server import ModelServer, serving
from serving.model_server.server_options import ServerOptions


def start(options: ServerOptions) -> tuple[ModelServer, Callable[[], None]]:
    """Starts a server on ports that the system chooses; returns it, and what ends it however often it is called."""
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    context = serving(options, any_port=True)
    running = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(60)
    stopped = []

    def stop() -> None:
        if not stopped:
            stopped.append(asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(60))
            loop.call_soon_threadsafe(loop.stop)

    return running, stop
