"""Each field of Limits, and each time-out, with a clock that is set by hand."""

import gc
import math
import random
import weakref

import pytest

from serving.model_server.http2 import frames, heads
from serving.model_server.http2.frames import Fault, Flag, Kind, Setting
from serving.model_server.http2.limits import Limits
from tests.serving.model_server.http2.clients import HEAD, REQUEST, TRAILERS, Client, Owner

PING = frames.frame(Kind.PING, 0, 0, b"12345678")


def slow(**limits):
    """A client whose requests are answered later."""
    return Client(Owner(Limits(**limits), is_prompt=False))


def test_a_connection_above_the_limit_is_told_so_and_closed_and_the_others_go_on():
    owner = Owner(Limits(max_connections=2))
    first, second = Client(owner), Client(owner)
    third = Client(owner, speaks=False)
    assert third.goaway() == (0, Fault.ENHANCE_YOUR_CALM, "there are 2 connections")
    assert third.transport.is_closed
    third.lose()
    second.lose()
    Client(owner).ask(1)
    first.ask(1)
    assert len(owner.requests) == 2
    assert len(owner.connections) == 2


def test_a_refused_connection_that_takes_no_farewell_is_aborted():
    owner = Owner(Limits(max_connections=0, write_timeout_s=5))
    client = Client(owner, speaks=False)
    client.transport.unsent = 10
    client.wait(4)
    assert not client.transport.is_aborted
    client.wait(2)
    assert client.transport.is_aborted


def test_the_client_is_told_the_limits():
    client = Client(
        speaks=False,
        max_streams=7,
        stream_window_bytes=70_000,
        max_frame_bytes=20_000,
        max_head_bytes=5_000,
        connection_window_bytes=100_000,
    )
    (kind, _, _, payload), (_, _, number, more) = client.frames()
    assert (kind, number, int.from_bytes(more, "big")) == (Kind.SETTINGS, 0, 100_000 - 65_535)
    assert frames.read_settings(payload) == {
        Setting.MAX_CONCURRENT_STREAMS: 7,
        Setting.INITIAL_WINDOW_SIZE: 70_000,
        Setting.MAX_FRAME_SIZE: 20_000,
        Setting.MAX_HEADER_LIST_SIZE: 5_000,
    }


def test_a_stream_above_the_limit_is_refused_and_another_after_an_answer_is_not():
    client = slow(max_streams=2)
    for number in (1, 3, 5):
        client.ask(number)
    assert client.resets() == [(5, Fault.REFUSED_STREAM)]
    client.owner.requests[0].stream.respond(HEAD, b"", TRAILERS)
    client.ask(7)
    assert [request.stream.number for request in client.owner.requests] == [1, 3, 7]
    assert client.owner.open_streams == 2


def test_what_a_client_sent_is_not_sent_back_at_length_when_it_cannot_be_read():
    client = Client()
    client.say(frames.frame(Kind.HEADERS, Flag.END_HEADERS, 1, b"\x40\x7f" + bytes([0x80]) * 60_000))
    _, fault, text = client.goaway()
    assert fault == Fault.COMPRESSION_ERROR
    assert text.startswith("the headers cannot be read: ")
    assert len(text) == 500


@pytest.mark.parametrize("in_parts", [False, True])
def test_headers_above_the_limit_end_the_connection(in_parts):
    client = Client(max_head_bytes=2_000)
    block = heads.block([*REQUEST, (b"x", b"v" * 2_000)])
    if in_parts:
        client.say(frames.frame(Kind.HEADERS, 0, 1, block[:1500]))
        client.say(frames.frame(Kind.CONTINUATION, 0, 1, block[1500:]))
    else:
        client.say(frames.frame(Kind.HEADERS, Flag.END_HEADERS, 1, block))
    assert client.goaway()[1] == Fault.ENHANCE_YOUR_CALM
    assert client.transport.is_closed


def test_a_flood_of_continuations_without_headers_ends_the_connection():
    client = Client(max_empty_frames=20)
    client.say(frames.frame(Kind.HEADERS, 0, 1, b"\x83"))
    client.say(frames.frame(Kind.CONTINUATION, 0, 1) * 21)
    assert client.goaway()[1:] == (
        Fault.ENHANCE_YOUR_CALM,
        "headers must be at most 16384 bytes, and at most 20 of their frames empty",
    )


def test_headers_in_parts_that_do_not_end_in_time_end_the_connection():
    client = Client(head_timeout_s=10)
    client.wait(1000)
    client.say(frames.frame(Kind.HEADERS, 0, 1, heads.block(REQUEST)))
    client.wait(9)
    assert client.goaway() is None
    client.wait(2)
    assert client.goaway() == (0, Fault.ENHANCE_YOUR_CALM, "the headers were not sent in time")


@pytest.mark.parametrize("words", [b"", frames.PREFACE, frames.PREFACE[:5]])
def test_a_client_that_does_not_begin_in_time_is_sent_away(words):
    client = Client(speaks=False, head_timeout_s=10)
    client.say(words)
    client.wait(9)
    assert not client.transport.is_closed
    client.wait(2)
    assert client.transport.is_closed


def test_requests_above_the_limit_of_all_are_crowded_out_and_give_their_bytes_back():
    owner = Owner(Limits(max_total_bytes=1000), is_prompt=False)
    first, second = Client(owner), Client(owner)
    first.ask(1, bytes(900), is_whole=False)
    assert owner.held_bytes == 900
    second.ask(1, bytes(101), is_whole=False)
    assert owner.requests[1].told == ["crowd_out"]
    assert second.resets() == [(1, Fault.NO_ERROR)]
    assert owner.held_bytes == 900
    first.lose()
    assert (owner.held_bytes, owner.open_streams) == (0, 0)


@pytest.mark.parametrize(
    ("bother", "words"),
    [
        (lambda number: heads_and(number, frames.reset(number, Fault.CANCEL)), "requests are taken back too often"),
        (lambda number: heads_and(number, frames.window_update(number, 0)), "requests are broken off too often"),
        (lambda _: PING, "PINGs are sent too often"),
        (lambda _: frames.settings({}), "SETTINGS are sent too often"),
    ],
)
def test_bothers_are_forgiven_with_time_and_made_up_for_by_answers_and_too_many_end_the_connection(bother, words):
    client = slow(max_bothers=100)
    number = 1
    for round_number in range(3):
        for _ in range(98):  # one was the client's first SETTINGS
            client.say(bother(number))
            number += 2
        assert not client.transport.is_closed, round_number
        client.wait(10)
    for _ in range(90):
        client.ask(number)
        client.owner.requests[-1].stream.respond(HEAD, b"", TRAILERS)
        client.say(bother(number + 2))
        number += 4
    assert not client.transport.is_closed
    for _ in range(101):
        client.say(bother(number))
        number += 2
        if client.transport.is_closed:
            break
    assert client.goaway()[1:] == (Fault.ENHANCE_YOUR_CALM, words)
    assert client.owner.open_streams == 0


def heads_and(number, last):
    return frames.frame(Kind.HEADERS, Flag.END_HEADERS, number, heads.block(REQUEST)) + last


def test_requests_that_were_broken_off_are_told_that_nobody_waits():
    client = slow()
    client.ask(1, b"x", is_whole=False)
    client.say(frames.reset(1, Fault.CANCEL))
    assert client.owner.requests[0].told == ["cancel"]
    assert (client.owner.open_streams, client.owner.held_bytes) == (0, 0)


def test_too_many_frames_without_data_end_the_connection():
    client = slow(max_empty_frames=50)
    client.ask(1, b"x", is_whole=False)
    client.say(frames.frame(Kind.DATA, 0, 1) * 50)
    assert client.goaway() is None
    client.say(frames.frame(Kind.DATA, 0, 1))
    assert client.goaway()[1:] == (Fault.ENHANCE_YOUR_CALM, "too many frames without data")


def test_an_answer_in_parts_that_is_not_taken_ends():
    client = Client(Owner(Limits(max_unsent_parts=4), is_patient=True))
    client.say(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}))
    client.ask(1, b"x", is_whole=False)
    (request,) = client.owner.requests
    for _ in range(4):
        request.stream.send(HEAD, b"news")
    assert request.told == []
    request.stream.send(HEAD, b"news")
    assert request.told == ["cancel"]
    assert client.resets() == [(1, Fault.ENHANCE_YOUR_CALM)]
    assert client.owner.open_streams == 0


def test_an_answer_in_parts_ends_where_too_much_waits_for_the_client_and_a_whole_one_does_not():
    client = Client(Owner(Limits(max_unsent_bytes=1000), is_prompt=False))
    for number in (1, 3):
        client.ask(number)
    parts, whole = client.owner.requests
    client.transport.unsent = 1000
    for _ in range(2):
        parts.stream.send(HEAD, b"news")
    client.frames()
    client.transport.unsent = 1001
    parts.stream.send(HEAD, b"news")
    whole.stream.respond(HEAD, b"answer", TRAILERS)
    assert parts.told == ["end", "cancel"]
    told = client.frames()
    assert [(kind, number) for kind, _, number, _ in told] == [(Kind.RST_STREAM, 1)] + [
        (kind, 3) for kind in (Kind.HEADERS, Kind.DATA, Kind.HEADERS)
    ]
    assert client.owner.open_streams == 0


def test_a_body_has_its_time_and_more_for_what_has_come():
    client = slow(body_timeout_s=20, body_rate=1000)
    client.ask(1, bytes(5_000), is_whole=False)
    client.wait(24)
    assert client.owner.requests[0].told == []
    client.wait(2)
    assert client.owner.requests[0].told == ["late"]
    assert client.owner.open_streams == 0


def test_a_request_that_is_whole_and_one_that_may_take_its_time_are_not_late():
    client = slow(body_timeout_s=20)
    client.ask(1)
    client.wait(1000)
    assert client.owner.requests[0].told == ["end"]
    client = Client(Owner(Limits(body_timeout_s=20), is_patient=True))
    client.ask(1, b"x", is_whole=False)
    client.wait(1000)
    assert client.owner.requests[0].told == []
    assert client.owner.held_bytes == 0


def test_an_answer_that_the_client_does_not_take_ends_and_a_slow_client_has_its_time():
    client = slow(write_timeout_s=30)
    client.say(frames.settings({Setting.INITIAL_WINDOW_SIZE: 1}))
    client.ask(1)
    client.owner.requests[0].stream.respond(HEAD, b"abcdef", TRAILERS)
    for _ in range(3):
        client.wait(29)
        client.say(frames.window_update(1, 1))
    assert client.resets() == []
    client.wait(31)
    assert client.resets() == [(1, Fault.CANCEL)]
    assert client.owner.requests[0].told[-1] == "cancel"


def test_a_client_that_takes_no_bytes_is_cut_off_and_one_that_takes_them_slowly_is_not():
    client = slow(write_timeout_s=30)
    client.transport.unsent = 1000
    client.connection.pause_writing()
    assert client.transport.is_paused
    for _ in range(5):
        client.wait(29)
        client.transport.unsent -= 1
    assert not client.transport.is_aborted
    client.wait(1)
    client.wait(31)
    assert client.transport.is_aborted


def test_a_client_that_takes_its_bytes_again_is_read_again():
    client = slow(write_timeout_s=30)
    client.connection.pause_writing()
    client.wait(20)
    client.connection.resume_writing()
    client.wait(20)
    assert (client.transport.is_paused, client.transport.is_aborted) == (False, False)


def test_a_silent_client_is_asked_and_cut_off_if_it_does_not_answer():
    for is_there in (True, False):
        client = slow(keepalive_s=100, keepalive_timeout_s=20)
        client.wait(99)
        assert client.frames() == []
        client.wait(2)
        ((kind, flags, number, payload),) = client.frames()
        assert (kind, flags, number, payload) == (Kind.PING, 0, 0, bytes(8))
        if is_there:
            client.say(frames.frame(Kind.PING, Flag.ACK, 0, payload))
        client.wait(21)
        assert client.transport.is_aborted is not is_there


@pytest.mark.parametrize("limit", ["idle_timeout_s", "max_age_s"])
def test_an_idle_or_old_connection_is_sent_away_in_two_steps(limit):
    client = Client(**{limit: 60})
    client.wait(40)
    client.ask(1)
    client.frames()
    client.wait(19)
    assert client.frames() == []
    if limit == "idle_timeout_s":
        client.wait(40)
        assert client.frames() == []
    client.wait(2)
    goaway, ping = client.frames()
    assert int.from_bytes(goaway[3][:4], "big") == frames.MOST_STREAM
    client.ask(3)  # was sent before the client knew
    client.say(frames.frame(Kind.PING, Flag.ACK, 0, ping[3]))
    assert [kind for kind, *_ in client.frames()] == [Kind.HEADERS, Kind.DATA, Kind.HEADERS, Kind.GOAWAY]
    assert client.is_done()


def test_a_request_under_way_keeps_a_connection_from_being_idle():
    client = slow(idle_timeout_s=60)
    client.ask(1)
    client.wait(1000)
    assert client.frames() == []


def test_a_connection_is_idle_from_the_end_of_its_last_request_however_that_ends():
    for is_answered in (True, False):
        client = slow(idle_timeout_s=60)
        client.ask(1)
        client.wait(1000)
        if is_answered:
            client.owner.requests[0].stream.respond(HEAD, b"", TRAILERS)
        else:
            client.say(frames.reset(1, Fault.CANCEL))
        client.wait(59)
        assert client.goaway() is None
        client.wait(2)
        assert client.goaway() is not None


def test_an_old_connections_requests_have_their_grace_and_no_more():
    client = slow(max_age_s=60, age_grace_s=30)
    client.ask(1)
    client.wait(61)
    client.wait(29)
    assert not client.transport.is_aborted
    client.wait(2)
    assert client.transport.is_aborted
    client.lose()
    assert client.owner.requests[0].told == ["end", "cancel"]


def test_requests_of_a_server_that_ends_have_not_just_the_grace_of_an_old_connection():
    client = slow(max_age_s=60, age_grace_s=2)
    client.ask(1)
    client.connection.go_away()
    client.wait(50)
    assert not client.transport.is_aborted
    client.owner.requests[0].stream.respond(HEAD, b"", TRAILERS)
    assert client.is_done()


def test_without_limits_of_time_a_connection_stays():
    client = Client(keepalive_s=math.inf)
    client.wait(1e9)
    assert client.frames() == []
    client.ask(1)
    assert len(client.frames()) == 3


def test_a_request_that_is_over_is_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        client = slow()
        for number in (1, 3):
            client.ask(number, b"x" * 1000)
        requests = [weakref.ref(request) for request in client.owner.requests]
        client.owner.requests.pop(0).stream.respond(HEAD, b"", TRAILERS)
        client.owner.requests.clear()
        client.say(frames.reset(3, Fault.CANCEL))
        assert [request() for request in requests] == [None, None]
    finally:
        gc.enable()


def test_what_the_server_remembers_of_a_connection_is_bounded():
    client = Client(max_bothers=10**9)
    client.say(b"".join(frames.frame(Kind.PRIORITY, 0, number, b"x") for number in range(1, 20_001, 2)))
    for number in range(1, 4001, 2):
        client.say(heads_and(number, frames.reset(number, Fault.CANCEL)))
    assert len(client.connection._book._over) == 256
    assert client.connection._book.open == {}


def test_random_frames_leave_nothing_counted():
    rng = random.Random(7)
    for seed in range(300):
        client = slow()
        for _ in range(30):
            payload = rng.choice([b"", rng.randbytes(4), rng.randbytes(8), heads.block(REQUEST), rng.randbytes(40)])
            flags = rng.choice([0, 1, 4, 5, rng.randrange(256)])
            client.say(frames.frame(rng.randrange(11), flags, rng.choice([0, 1, 3, 5, 2]), payload))
        client.lose()
        assert (client.owner.open_streams, client.owner.held_bytes) == (0, 0), seed
        assert client.owner.connections == set()
