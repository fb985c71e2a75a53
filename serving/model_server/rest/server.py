"""Listens for HTTP connections, watches over them, and lets them go in peace when the server ends."""

from __future__ import annotations

import asyncio
import ssl
import time

from serving.model_server.rest.connection import Connection, Handler, as_factory
from serving.model_server.rest.messages import Writer
from serving.model_server.rest.reader import Limits
from serving.model_server.watch import CHECK_S, Watch

_BACKLOG = 1024
_IDLE_GRACE_S = 1.0  # for a request that is on its way to a connection that looks idle


class RestServer:
    """The HTTP server."""

    def __init__(self, handle: Handler, limits: Limits | None = None) -> None:
        """Takes what answers.

        Args:
            handle: called with each request and what takes its response, once, now or later.
            limits: of clients.
        """
        self.handle = handle
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.is_draining = False
        self.body_bytes = 0
        self.writer = Writer()
        self._listener: asyncio.Server | None = None
        self._watch = Watch(self.connections)

    @property
    def port(self) -> int:
        """TCP port it listens on; 0 when it does not."""
        sockets = self._listener.sockets if self._listener else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Begins to listen.

        Args:
            host: address; all addresses of a name.
            port: 0 has the system choose one.
            tls: for HTTPS.

        Raises:
            OSError: the port is taken, or the address is none of this machine's.
        """
        loop = asyncio.get_running_loop()
        handshake_s = self.limits.head_timeout_s if tls is not None else None
        self._listener = await loop.create_server(
            as_factory(self, loop), host, port, ssl=tls, backlog=_BACKLOG, ssl_handshake_timeout=handshake_s
        )
        self._watch.start()

    async def stop(self, grace_s: float) -> None:
        """Accepts nothing more, answers what is there, and ends all connections.

        Args:
            grace_s: seconds after which connections are cut.
        """
        self.is_draining = True
        if self._listener is not None:
            self._listener.close()
        begun_s = time.monotonic()
        await self._watch.until_empty(min(grace_s, _IDLE_GRACE_S))
        for connection in list(self.connections):
            connection.close_if_idle()
        await self._watch.until_empty(grace_s - (time.monotonic() - begun_s))
        for connection in list(self.connections):
            connection.close()
        await self._watch.until_empty(CHECK_S)
        self._watch.stop()
