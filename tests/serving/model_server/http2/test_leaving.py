"""How a connection is closed, with sockets: what the system does to bytes that nobody has read."""

import asyncio
import socket

import pytest
import uvloop

from serving.model_server.http2 import frames, heads
from serving.model_server.http2.connection import Connection
from serving.model_server.http2.frames import Flag, Kind, Setting
from serving.model_server.http2.limits import Limits
from tests.serving.model_server.http2.clients import HEAD, REQUEST, TRAILERS, Owner

SIZE = 6_000_000
ASKED = (
    frames.PREFACE
    + frames.settings({Setting.INITIAL_WINDOW_SIZE: frames.MOST_WINDOW})
    + frames.window_update(0, frames.MOST_WINDOW - frames.DEFAULT_WINDOW)
    + frames.frame(Kind.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, heads.block(REQUEST))
)


async def take_all(loop, client):
    """Reads the answer and gives windows back, as clients of gRPC do; returns its bytes."""
    reader, size = frames.FrameReader(1 << 20), 0
    list(reader.feed(frames.PREFACE))
    while data := await loop.sock_recv(client, 100_000):
        for kind, flags, _, payload in reader.feed(data):
            size += len(payload) if kind == Kind.DATA else 0
            if kind == Kind.HEADERS and flags & Flag.END_STREAM:
                return size
        await loop.sock_sendall(client, frames.window_update(0, len(data)))
    return size


async def leave_with_an_answer():
    loop, owner = asyncio.get_running_loop(), Owner(Limits(), is_prompt=False)
    server = await loop.create_server(lambda: Connection(owner, loop), "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, ASKED)
        while not owner.requests:
            await asyncio.sleep(0.01)
        (connection,) = owner.connections
        connection.go_away()
        connection.go_at_last()
        owner.requests[0].stream.respond(HEAD, bytes(SIZE), TRAILERS)
        size = await take_all(loop, client)
    while owner.connections:  # the client has closed, and the server follows without being looked at
        await asyncio.sleep(0.01)
    server.close()
    return size


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_the_last_answer_of_a_connection_arrives_whole_though_the_client_talks_meanwhile(make):
    loop = make()
    try:
        assert loop.run_until_complete(asyncio.wait_for(leave_with_an_answer(), 20)) == SIZE
    finally:
        loop.close()
