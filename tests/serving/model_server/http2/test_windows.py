"""Flow control: what is sent stays within the client's windows, and all of it is sent in the end."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.model_server.http2 import frames
from serving.model_server.http2.frames import Fault, Flag, Kind, Setting
from serving.model_server.http2.limits import Limits
from tests.serving.model_server.http2.clients import HEAD, TRAILERS, Client, Owner, window

ACTS = st.one_of(
    st.tuples(st.just("stream"), st.integers(0, 2), st.integers(1, 40_000)),
    st.tuples(st.just("connection"), st.just(0), st.integers(1, 400_000)),
    st.tuples(st.just("initial"), st.just(0), st.integers(0, 300_000)),
    st.tuples(st.just("frame"), st.just(0), st.integers(16_384, 200_000)),
)


class Windows:
    """What the client lets the server send, counted on its side."""

    def __init__(self, client, numbers):
        self.client, self.numbers = client, numbers
        self.connection, self.initial, self.frame = 65_535, 65_535, 16_384
        self.of = dict.fromkeys(numbers, 65_535)
        self.bodies = dict.fromkeys(numbers, b"")
        self.ended = []

    def do(self, act):
        kind, which, size = act
        if kind == "stream":
            number = self.numbers[which]
            self.of[number] += size
            self.client.say(frames.window_update(number, size))
        elif kind == "connection":
            self.connection += size
            self.client.say(frames.window_update(0, size))
        elif kind == "initial":
            for number in self.numbers:
                self.of[number] += size - self.initial
            self.initial = size
            self.client.say(window(size=size))
        else:
            self.frame = size
            self.client.say(frames.settings({Setting.MAX_FRAME_SIZE: size}))
        self.take()

    def take(self):
        for kind, flags, number, payload in self.client.frames():
            if kind == Kind.DATA:
                assert number not in self.ended
                assert len(payload) <= self.frame
                self.bodies[number] += payload
                self.of[number] -= len(payload)
                self.connection -= len(payload)
                assert self.of[number] >= 0
                assert self.connection >= 0
            elif kind == Kind.HEADERS and flags & Flag.END_STREAM:
                self.ended.append(number)


@settings(max_examples=150, deadline=None)
@given(sizes=st.tuples(*[st.integers(0, 300_000)] * 3), acts=st.lists(ACTS, max_size=30))
def test_answers_arrive_whole_and_within_the_windows_whatever_the_client_says(sizes, acts):
    client = Client(Owner(Limits(), is_prompt=False))
    for number in (1, 3, 5):
        client.ask(number)
    windows = Windows(client, (1, 3, 5))
    bodies = {number: bytes([number]) * size for number, size in zip((1, 3, 5), sizes, strict=True)}
    for number, request in zip((1, 3, 5), list(client.owner.requests), strict=True):
        request.stream.respond(HEAD, bodies[number], TRAILERS)
        windows.take()
    for act in acts:
        windows.do(act)
    for act in (("initial", 0, 70_000), ("connection", 0, 1_000_000), *[("stream", one, 300_000) for one in range(3)]):
        windows.do(act)
    assert windows.bodies == bodies
    assert sorted(windows.ended) == [1, 3, 5]
    assert (client.owner.open_streams, client.owner.held_bytes) == (0, 0)


def test_an_answer_within_the_windows_is_one_write_of_three_frames():
    client = Client()
    client.ask(1, b"body")
    told = client.frames()
    assert [(kind, flags, number) for kind, flags, number, _ in told] == [(1, 4, 1), (0, 0, 1), (1, 5, 1)]
    assert client.read(told[0][3]) == {b":status": b"200"}
    assert told[1][3] == b"body"
    assert client.read(told[2][3]) == {b"grpc-status": b"0"}


def test_a_large_frame_is_written_where_the_client_takes_it():
    client = Client()
    client.say(window(size=1 << 20) + frames.window_update(0, 1 << 20))
    client.say(frames.settings({Setting.MAX_FRAME_SIZE: 1 << 20}))
    client.frames()
    client.ask(1, bytes(60_000), is_whole=False)
    client.say(frames.frame(Kind.DATA, Flag.END_STREAM, 1, bytes(60_000)))
    assert [(kind, len(data)) for kind, _, _, data in client.frames() if kind == Kind.DATA] == [(Kind.DATA, 120_000)]


def test_a_window_that_shrinks_below_zero_is_waited_for():
    client = Client(Owner(Limits(), is_prompt=False))
    client.ask(1)
    (request,) = client.owner.requests
    request.stream.send(HEAD, bytes(60_000))
    client.say(window(size=10))  # 5,535 of 65,535 were left: now 59,990 too many are under way
    request.stream.send(HEAD, b"more")
    request.stream.finish(TRAILERS)
    client.frames()
    client.say(frames.window_update(1, 59_990))
    assert client.frames() == []
    client.say(frames.window_update(1, 3))
    assert [payload for kind, _, _, payload in client.frames() if kind == Kind.DATA] == [b"mor"]
    client.say(frames.window_update(1, 1))
    assert [frame[0] for frame in client.frames()] == [Kind.DATA, Kind.HEADERS]


def test_answers_share_the_connections_window_in_turn():
    client = Client(Owner(Limits(), is_prompt=False))
    client.say(window(size=1 << 20))
    for number in (1, 3):
        client.ask(number)
        client.owner.requests[-1].stream.respond(HEAD, bytes(200_000), TRAILERS)
    client.frames()
    sent = dict.fromkeys((1, 3), 0)
    for _ in range(6):
        client.say(frames.window_update(0, 16_384))
        for _, _, number, payload in client.frames():
            sent[number] += len(payload)
    assert sent[3] >= 16_384 * 3


@pytest.mark.parametrize(("number", "what"), [(0, "goaway"), (1, "reset")])
def test_a_window_that_grows_too_large_ends_what_it_belongs_to(number, what):
    client = Client(Owner(Limits(), is_prompt=False))
    client.ask(1)
    client.say(frames.window_update(number, frames.MOST_WINDOW))
    if what == "goaway":
        assert client.goaway()[1] == Fault.FLOW_CONTROL_ERROR
    else:
        assert client.resets() == [(1, Fault.FLOW_CONTROL_ERROR)]


def test_settings_that_make_a_streams_window_too_large_end_the_connection():
    client = Client(Owner(Limits(), is_prompt=False))
    client.ask(1)
    client.say(frames.window_update(1, frames.MOST_WINDOW - 65_535))
    client.say(window(size=65_536))
    assert client.goaway()[1] == Fault.FLOW_CONTROL_ERROR


def test_the_client_is_let_send_on_before_its_windows_are_used_up():
    client = Client(Owner(Limits(), is_prompt=False), speaks=True)
    more = {0: 0, 1: 0}
    client.ask(1, b"x", is_whole=False)
    for _ in range(400):  # 24 MB: more than either window
        client.say(frames.frame(Kind.DATA, 0, 1, bytes(60_000)))
        for kind, _, number, payload in client.frames():
            assert kind == Kind.WINDOW_UPDATE
            more[number] += struct.unpack(">I", payload)[0]
    assert len(client.owner.requests[0].body) == 24_000_001
    assert more[1] >= 24_000_001 - (1 << 20)
    assert more[0] >= 24_000_001 - (16 << 20)


def test_a_client_that_sends_more_than_a_window_lets_pass_is_stopped():
    client = Client(Owner(Limits(stream_window_bytes=1000), is_prompt=False))
    client.ask(1, bytes(1001), is_whole=False)
    assert client.resets() == [(1, Fault.FLOW_CONTROL_ERROR)]
    assert client.owner.requests[0].told == ["cancel"]
    client = Client(Owner(Limits(connection_window_bytes=70_000, max_frame_bytes=100_000), is_prompt=False))
    client.ask(1, bytes(70_001), is_whole=False)
    assert client.goaway()[1] == Fault.FLOW_CONTROL_ERROR


def test_padding_counts_against_the_window_and_not_as_body():
    client = Client(Owner(Limits(stream_window_bytes=300), is_prompt=False))
    client.ask(1, b"", is_whole=False, more=[(b"content-length", b"4")])
    client.say(frames.frame(Kind.DATA, Flag.PADDED, 1, b"\xff" + b"body" + bytes(255)))
    assert [(kind, number, payload) for kind, _, number, payload in client.frames()] == [
        (Kind.WINDOW_UPDATE, 1, struct.pack(">I", 260))
    ]
    client.say(frames.frame(Kind.DATA, Flag.END_STREAM, 1))
    assert client.owner.requests[0].body == b"body"
    assert client.owner.requests[0].told == ["end"]
