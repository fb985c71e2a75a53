import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.http2 import frames
from serving.model_server.http2.frames import PREFACE, ConnectionFault, Fault, Flag, FrameReader, Kind, Setting

ONE = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, frames.MOST_STREAM), st.binary(max_size=300))


def read(pieces, max_frame_bytes=frames.LEAST_FRAME_BYTES):
    reader = FrameReader(max_frame_bytes)
    return [one for piece in pieces for one in reader.feed(piece)]


@given(sent=st.lists(ONE, max_size=6), cuts=st.lists(st.integers(0, 2000), max_size=20))
def test_any_cutting_of_the_bytes_gives_the_same_frames(sent, cuts):
    data = PREFACE + b"".join(frames.frame(*one) for one in sent)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    assert read(data[start:end] for start, end in itertools.pairwise(edges)) == sent


def test_frames_that_come_byte_by_byte_are_whole():
    sent = [(0, 1, 5, b"body"), (4, 0, 0, b""), (200, 7, 1, b"x" * 40)]
    data = PREFACE + b"".join(frames.frame(*one) for one in sent)
    assert read(data[at : at + 1] for at in range(len(data))) == sent


def test_the_reserved_bit_of_a_stream_is_not_looked_at():
    assert read([PREFACE + b"\x00\x00\x00\x06\x00\x80\x00\x00\x03"]) == [(6, 0, 3, b"")]


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00"])
def test_what_is_no_preface_is_refused_as_soon_as_that_is_clear(words):
    with pytest.raises(ConnectionFault, match="does not speak HTTP/2 with prior knowledge") as caught:
        read([words])
    assert caught.value.fault is Fault.PROTOCOL_ERROR


def test_a_frame_above_the_limit_is_refused_before_it_has_come():
    head = frames.frame(Kind.DATA, 0, 1, bytes(20_001))[:9]
    with pytest.raises(ConnectionFault, match="a frame must have at most 20000 bytes, got 20001") as caught:
        read([PREFACE + head], max_frame_bytes=20_000)
    assert caught.value.fault is Fault.FRAME_SIZE_ERROR
    assert read([PREFACE + frames.frame(Kind.DATA, 0, 1, bytes(20_000))], max_frame_bytes=20_000)


@given(
    st.dictionaries(
        st.sampled_from([Setting.MAX_CONCURRENT_STREAMS, Setting.MAX_HEADER_LIST_SIZE]), st.integers(0, 2**32 - 1)
    )
)
def test_settings_are_read_as_they_were_written(values):
    assert frames.read_settings(frames.settings(values)[9:]) == values


@pytest.mark.parametrize(
    ("setting", "value", "fault"),
    [
        (Setting.ENABLE_PUSH, 2, Fault.PROTOCOL_ERROR),
        (Setting.INITIAL_WINDOW_SIZE, 2**31, Fault.FLOW_CONTROL_ERROR),
        (Setting.MAX_FRAME_SIZE, 16_383, Fault.PROTOCOL_ERROR),
        (Setting.MAX_FRAME_SIZE, 2**24, Fault.PROTOCOL_ERROR),
    ],
)
def test_a_setting_outside_its_range_is_refused(setting, value, fault):
    with pytest.raises(ConnectionFault, match=rf"{setting.name} must be \d+ to \d+, got {value}") as caught:
        frames.read_settings(frames.settings({setting: value})[9:])
    assert caught.value.fault is fault


def test_settings_of_half_a_pair_are_refused():
    with pytest.raises(ConnectionFault, match="pairs of 6 bytes, got 7 bytes"):
        frames.read_settings(bytes(7))


@given(content=st.binary(max_size=50), padding=st.integers(0, 255))
def test_padding_is_taken_off(content, padding):
    assert frames.unpadded(bytes([padding]) + content + bytes(padding), Flag.PADDED) == content


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abcd"])
def test_more_padding_than_frame_is_refused(payload):
    with pytest.raises(ConnectionFault, match="padding must fit"):
        frames.unpadded(payload, Flag.PADDED)


def test_a_number_of_another_size_is_refused():
    assert frames.number_of(b"\xff\xff\xff\xff") == 2**31 - 1
    with pytest.raises(ConnectionFault, match="the frame must have 4 bytes, got 3"):
        frames.number_of(b"abc")


def test_a_goaway_says_the_last_stream_the_code_and_why():
    assert frames.go_away(7, Fault.ENHANCE_YOUR_CALM, "slowly") == (
        b"\x00\x00\x0e\x07\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x07\x00\x00\x00\x0bslowly"
    )
