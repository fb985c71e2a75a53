"""How a connection begins and ends: faults, GOAWAY, and clients that close their side."""

import logging

import pytest

from serving.model_server.http2 import frames, heads
from serving.model_server.http2.frames import Fault, Flag, Kind, Setting
from serving.model_server.http2.limits import Limits
from tests.serving.model_server.http2.clients import HEAD, REQUEST, TRAILERS, Client, Owner

BLOCK = heads.block(REQUEST)


def slow(*, is_patient=False, **limits):
    return Client(Owner(Limits(**limits), is_prompt=False, is_patient=is_patient))


def answer(client, which=0, body=b"late"):
    client.owner.requests[which].stream.respond(HEAD, body, TRAILERS)


def headers(number, flags=Flag.END_HEADERS | Flag.END_STREAM, block=BLOCK):
    return frames.frame(Kind.HEADERS, flags, number, block)


def test_a_request_is_taken_and_answered_and_nothing_is_left():
    client = Client()
    client.ask(1, b"body", more=[(b"content-length", b"4"), (b"x", b"y")])
    (request,) = client.owner.requests
    assert request.head.fields[b"x"] == b"y"
    assert request.body == b"body"
    assert [kind for kind, *_ in client.frames()] == [Kind.HEADERS, Kind.DATA, Kind.HEADERS]
    assert (client.owner.open_streams, client.owner.held_bytes) == (0, 0)


def test_requests_are_answered_in_the_order_of_their_answers():
    client = slow()
    for number in (1, 3, 5):
        client.ask(number)
    for which in (2, 0, 1):
        answer(client, which)
    assert [number for kind, _, number, _ in client.frames() if kind == Kind.DATA] == [5, 1, 3]


def test_headers_in_parts_with_priority_and_padding_are_one_request():
    client = Client()
    client.say(
        frames.frame(Kind.HEADERS, Flag.PADDED | Flag.PRIORITY, 1, b"\x03" + bytes(4) + b"\x10" + BLOCK[:7] + bytes(3))
        + frames.frame(Kind.CONTINUATION, 0, 1, BLOCK[7:20])
        + frames.frame(Kind.CONTINUATION, Flag.END_HEADERS, 1, BLOCK[20:])
        + frames.frame(Kind.DATA, Flag.END_STREAM, 1, b"body")
    )
    assert client.owner.requests[0].body == b"body"
    assert client.owner.requests[0].head.fields[b":path"] == b"/a.B/C"


def test_trailers_end_a_request():
    client = Client()
    client.ask(1, b"body", is_whole=False)
    client.say(headers(1, block=heads.block([(b"x-sum", b"1")])))
    assert client.owner.requests[0].told == ["end"]


def test_an_answer_before_the_request_is_whole_asks_the_client_to_send_no_more():
    client = slow()
    client.ask(1, b"x", is_whole=False)
    answer(client)
    assert client.frames()[-1] == (Kind.RST_STREAM, 0, 1, bytes(4))
    client.say(frames.frame(Kind.DATA, Flag.END_STREAM, 1, b"under way"))
    assert client.frames() == []
    assert (client.owner.open_streams, client.owner.held_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (frames.frame(Kind.DATA, 0, 0, b"x"), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.DATA, 0, 9, b"x"), Fault.PROTOCOL_ERROR),
        (headers(2), Fault.PROTOCOL_ERROR),
        (headers(0), Fault.PROTOCOL_ERROR),
        (headers(3) + headers(1), Fault.PROTOCOL_ERROR),
        (headers(1, 0) + headers(3), Fault.PROTOCOL_ERROR),
        (headers(1, 0) + frames.frame(Kind.PING, 0, 0, bytes(8)), Fault.PROTOCOL_ERROR),
        (headers(1, 0) + frames.frame(Kind.CONTINUATION, 4, 3), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.CONTINUATION, 4, 1, BLOCK), Fault.PROTOCOL_ERROR),
        (headers(1, Flag.PRIORITY | 4, bytes(3)), Fault.PROTOCOL_ERROR),
        (headers(1, Flag.PRIORITY | 4, b"\0\0\0\1\0" + BLOCK), Fault.PROTOCOL_ERROR),
        (headers(1, 4, b"\xff\xff\xff"), Fault.COMPRESSION_ERROR),
        (frames.frame(Kind.PRIORITY, 0, 0, bytes(5)), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.RST_STREAM, 0, 0, bytes(4)), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.RST_STREAM, 0, 7, bytes(4)), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.RST_STREAM, 0, 7, bytes(5)), Fault.FRAME_SIZE_ERROR),
        (frames.frame(Kind.SETTINGS, 0, 1), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.SETTINGS, Flag.ACK, 0, bytes(6)), Fault.FRAME_SIZE_ERROR),
        (frames.frame(Kind.PUSH_PROMISE, 4, 1, bytes(8)), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.PING, 0, 1, bytes(8)), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.PING, 0, 0, bytes(7)), Fault.FRAME_SIZE_ERROR),
        (frames.frame(Kind.GOAWAY, 0, 1, bytes(8)), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.WINDOW_UPDATE, 0, 0, bytes(4)), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.WINDOW_UPDATE, 0, 5, b"\0\0\0\1"), Fault.PROTOCOL_ERROR),
    ],
    ids=range(24),
)
def test_what_breaks_the_connection_is_told_with_its_code_and_closes_it(said, fault):
    client = slow()
    client.say(said)
    assert client.goaway()[1] == fault
    assert client.transport.is_closed
    assert client.owner.open_streams == 0


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (headers(1, block=heads.block(REQUEST[:2])), Fault.PROTOCOL_ERROR),
        (headers(1, block=heads.block([*REQUEST, (b"content-length", b"4")])), Fault.PROTOCOL_ERROR),
        (headers(1, 4, heads.block([*REQUEST, (b"content-length", b"-1")])), Fault.PROTOCOL_ERROR),
        (headers(1, 4, heads.block([*REQUEST, (b"content-length", b"9" * 5000)])), Fault.PROTOCOL_ERROR),
        (headers(1, 4) + headers(1, 4), Fault.PROTOCOL_ERROR),
        (headers(1, 4) + headers(1, block=BLOCK), Fault.PROTOCOL_ERROR),
        (headers(1) + frames.frame(Kind.DATA, 0, 1, b"x"), Fault.STREAM_CLOSED),
        (headers(1) + headers(1, block=heads.block([(b"a", b"b")])), Fault.STREAM_CLOSED),
        (headers(1) + frames.window_update(1, 0), Fault.PROTOCOL_ERROR),
        (frames.frame(Kind.PRIORITY, 0, 1, bytes(4)), Fault.FRAME_SIZE_ERROR),
        (frames.frame(Kind.PRIORITY, 0, 1, b"\0\0\0\1\0"), Fault.PROTOCOL_ERROR),
    ],
    ids=range(11),
)
def test_what_breaks_one_stream_leaves_the_connection_open(said, fault):
    client = slow()
    client.say(said)
    assert client.resets() == [(1, fault)]
    assert client.owner.open_streams == 0
    client.say(headers(3))
    answer(client, -1)
    assert len(client.frames()) == 3


def test_late_frames_after_the_client_took_its_request_back_are_for_a_closed_stream():
    client = slow()
    client.say(headers(1, 4) + frames.reset(1, Fault.CANCEL) + frames.frame(Kind.DATA, 0, 1, b"x"))
    assert client.resets() == [(1, Fault.STREAM_CLOSED)]


def test_frames_of_unknown_kinds_are_not_looked_at():
    client = Client()
    client.say(frames.frame(77, 255, 3, b"what") + frames.frame(10, 0, 0, b""))
    assert client.frames() == []
    assert not client.transport.is_closed


def test_pings_and_settings_are_acknowledged():
    client = Client()
    client.say(frames.frame(Kind.PING, 0, 0, b"12345678") + frames.settings({}))
    assert client.frames() == [(Kind.PING, Flag.ACK, 0, b"12345678"), (Kind.SETTINGS, Flag.ACK, 0, b"")]


def test_the_first_frame_must_be_settings():
    client = Client(speaks=False)
    client.say(frames.PREFACE + headers(1))
    assert client.goaway()[1:] == (Fault.PROTOCOL_ERROR, "the first frame must be SETTINGS")


def test_a_fault_of_the_servers_own_ends_the_connection_and_is_in_the_log(caplog):
    client = Client()
    client.owner.open = lambda *_: 1 / 0
    with caplog.at_level(logging.ERROR):
        client.say(headers(1))
    assert client.goaway()[1] == Fault.INTERNAL_ERROR
    assert "division by zero" in caplog.text
    assert client.owner.open_streams == 0


def test_before_the_last_goaway_all_is_answered_and_after_it_what_was_under_way_and_nothing_is_cancelled():
    client = slow()
    client.ask(1)
    client.connection.go_away()
    (goaway, ping) = client.frames()
    assert int.from_bytes(goaway[3][:4], "big") == frames.MOST_STREAM
    client.ask(3)
    client.say(frames.frame(Kind.PING, Flag.ACK, 0, ping[3]))
    assert client.goaway() == (3, Fault.NO_ERROR, "")
    client.ask(5, b"for another connection")
    assert [request.stream.number for request in client.owner.requests] == [1, 3]
    answer(client, 0)
    assert not client.transport.is_closed
    answer(client, 1)
    told = client.frames()
    assert {kind for kind, *_ in told} == {Kind.HEADERS, Kind.DATA}
    assert {number for _, _, number, _ in told} == {1, 3}
    assert client.is_done()
    assert [request.told for request in client.owner.requests] == [["end"], ["end"]]


def test_a_client_that_does_not_answer_the_ping_gets_its_last_goaway_all_the_same():
    client = slow()
    client.ask(1)
    client.connection.go_away()
    client.connection.go_away()
    client.frames()
    client.wait(1.1)
    assert client.goaway() == (1, Fault.NO_ERROR, "")
    answer(client)
    assert client.is_done()


def leave(client):
    client.connection.go_away()
    client.connection.go_at_last()
    client.frames()


def test_a_connection_that_is_done_is_read_until_the_client_closes_it_or_is_quiet():
    client = slow()
    client.ask(1)
    leave(client)
    answer(client)
    client.frames()
    assert not client.transport.is_closed
    client.say(frames.window_update(0, 5) + frames.frame(Kind.PING, 0, 0, bytes(8)) + headers(3))
    client.wait(1.5)
    client.say(frames.frame(Kind.DATA, 0, 3, bytes(60_000)) + headers(2))
    client.wait(1.5)
    assert not client.transport.is_closed
    assert client.frames() == []
    assert len(client.owner.requests) == 1
    client.transport.unsent = 1
    client.wait(1)
    assert not client.transport.is_closed
    client.transport.unsent = 0
    client.wait(1)
    assert client.transport.is_closed


def test_a_client_that_talks_on_over_a_connection_that_is_done_is_cut_off():
    client = slow(write_timeout_s=30)
    leave(client)
    for _ in range(31):
        client.say(frames.frame(Kind.PING, 0, 0, bytes(8)))
        client.wait(1)
    assert client.transport.is_aborted


def test_a_connection_that_begins_while_the_server_ends_is_sent_elsewhere_and_answered_meanwhile():
    client = slow()
    client.owner.is_ending = True
    late = Client(client.owner, speaks=False)
    late.say(frames.PREFACE + frames.settings({}))
    late.ask(1)
    assert late.goaway() == (frames.MOST_STREAM, Fault.NO_ERROR, "")
    late.wait(1.1)
    assert late.goaway() == (1, Fault.NO_ERROR, "")
    answer(late)
    assert len(late.frames()) == 3
    assert late.is_done()


def test_a_fault_after_the_last_goaway_does_not_take_back_what_that_said():
    client = slow()
    client.ask(1)
    client.connection.go_away()
    client.connection.go_at_last()
    client.frames()
    client.ask(3)  # is asked again elsewhere
    client.say(headers(2))
    assert client.goaway()[:2] == (1, Fault.PROTOCOL_ERROR)


def test_stopping_tells_all_requests_and_stopping_the_patient_tells_only_those():
    client = slow()
    client.ask(1)
    client.connection.stop_patient()
    assert client.owner.requests[0].told == ["end"]
    client.connection.stop()
    assert client.owner.requests[0].told == ["end", "stop"]
    assert [kind for kind, *_ in client.frames()] == [Kind.HEADERS]
    assert client.transport.is_closed
    client = slow(is_patient=True)
    client.ask(1, b"x", is_whole=False)
    client.connection.stop_patient()
    assert client.owner.requests[0].told == ["stop"]


def test_a_client_that_has_said_all_is_answered_and_then_closed():
    client = slow()
    client.ask(1, b"whole")
    client.ask(3, b"half", is_whole=False)
    assert client.connection.eof_received() is True
    assert [request.told for request in client.owner.requests] == [["end"], ["cancel"]]
    answer(client)
    assert [number for kind, _, number, _ in client.frames() if kind == Kind.DATA] == [1]
    assert client.transport.is_closed
    assert (client.owner.open_streams, client.owner.held_bytes) == (0, 0)


def test_a_client_that_has_said_all_and_waits_for_nothing_is_closed():
    assert Client().connection.eof_received() is False
    client = slow(is_patient=True)
    client.ask(1)
    assert client.connection.eof_received() is False  # a listener that went: nobody would notice for hours
    assert client.owner.requests[0].told == ["end", "cancel"]
    assert Client(speaks=False).connection.eof_received() is False


def test_after_its_half_is_closed_a_client_gets_what_its_windows_let_pass_and_no_more():
    client = slow()
    client.say(frames.settings({Setting.INITIAL_WINDOW_SIZE: 4}))
    for number in (1, 3, 5):
        client.ask(number)
    answer(client, 0, b"too long")
    assert client.connection.eof_received() is True
    answer(client, 1, b"too long")
    answer(client, 2, b"four")
    sent = [(number, payload) for kind, _, number, payload in client.frames() if kind == Kind.DATA]
    assert sent == [(1, b"too "), (3, b"too "), (5, b"four")]
    assert client.transport.is_closed
    assert client.owner.open_streams == 0


def test_with_tls_there_is_no_half_of_a_connection():
    client = slow()
    client.ask(1)
    client.transport._extra = {"sslcontext": object()}
    assert client.connection.eof_received() is False


def test_a_lost_connection_cancels_its_requests_and_late_answers_go_nowhere():
    client = slow()
    client.ask(1, b"x")
    client.frames()
    client.lose()
    assert client.owner.requests[0].told == ["end", "cancel"]
    answer(client)
    assert client.frames() == []
    assert (client.owner.open_streams, client.owner.held_bytes, client.owner.connections) == (0, 0, set())


def test_after_a_fault_nothing_more_is_read_and_late_answers_go_nowhere():
    client = slow()
    client.ask(1)
    client.say(headers(2) + headers(3))
    assert client.goaway()[1] == Fault.PROTOCOL_ERROR
    assert client.owner.requests[0].told == ["end", "cancel"]
    client.say(headers(5))
    answer(client)
    assert client.frames() == []
    assert len(client.owner.requests) == 1
