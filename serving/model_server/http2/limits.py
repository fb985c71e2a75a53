"""What one client may ask of the server's memory and patience."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of connections and of the requests on them.

    Attributes:
        max_connections: at the same time; more are closed as they come.
        max_streams: requests of one connection at the same time; more are told to try again.
        max_frame_bytes: of the frames that a client may send.
        max_head_bytes: of a request's headers, each counted with 32 bytes more than it has.
        max_total_bytes: of all connections' requests that are not answered yet.
        stream_window_bytes: that a client may send of one request before it is told to go on.
        connection_window_bytes: the same of all requests of its connection.
        max_bothers: requests that a client may take back or break off, and SETTINGS and PINGs that it may send, more
            than it lets be answered, before it is sent away; as many as that are forgiven every ten seconds.
        max_empty_frames: of one request's headers, and of its body.
        max_unsent_parts: of an answer in parts that the client does not take; its request ends then.
        max_unsent_bytes: of all answers that the client's system does not take; the next part of one in parts ends it.
        head_timeout_s: for a connection's first words, and for headers in several frames.
        body_timeout_s: for a request, and one second more for each `body_rate` bytes that have come.
        body_rate: bytes/s.
        write_timeout_s: for a client that takes none of its answer.
        idle_timeout_s: of a connection without requests.
        max_age_s: of a connection; it is told to open another then.
        age_grace_s: for its requests after that.
        keepalive_s: without a word from the client until it is asked whether it is there.
        keepalive_timeout_s: for its answer.
    """

    max_connections: int = 4096
    max_streams: int = 1024
    max_frame_bytes: int = 64 << 10
    max_head_bytes: int = 16 << 10
    max_total_bytes: int = 1 << 30
    stream_window_bytes: int = 1 << 20
    connection_window_bytes: int = 16 << 20
    max_bothers: int = 1000
    max_empty_frames: int = 100
    max_unsent_parts: int = 64
    max_unsent_bytes: int = 1 << 20
    head_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    body_rate: int = 64 << 10
    write_timeout_s: float = 30.0
    idle_timeout_s: float = math.inf
    max_age_s: float = math.inf
    age_grace_s: float = math.inf
    keepalive_s: float = 7200.0
    keepalive_timeout_s: float = 20.0
