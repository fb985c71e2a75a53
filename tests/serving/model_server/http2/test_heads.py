import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.model_server.http2 import heads
from serving.model_server.http2.frames import ConnectionFault, Fault
from serving.model_server.http2.heads import HeadError, HeadParts, HeadReader
from serving.model_server.http2.limits import Limits

NAMES = st.sampled_from([b"te-st", b"user-agent", b"grpc-timeout", b"x", b"x-request-id", b"accept"])
VALUES = st.sampled_from([b"", b"1", b"100m", b"a" * 200, b"b" * 1500]) | st.binary(max_size=20).map(bytes.hex).map(
    str.encode
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
NEEDED = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p")]


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=40_000)), max_size=3))
def test_a_block_is_read_back_by_another_implementation(fields):
    decoded = hpack.Decoder(max_header_list_size=1 << 20).decode(heads.block(fields), raw=True)
    assert [tuple(field) for field in decoded] == fields


@pytest.mark.parametrize("size", [0, 126, 127, 128, 254, 255, 256, 127 + 128 * 128 - 1, 127 + 128 * 128])
def test_lengths_at_the_edges_of_their_bytes_are_read_back(size):
    (field,) = hpack.Decoder().decode(heads.block([(b"n", b"v" * size)]), raw=True)
    assert tuple(field) == (b"n", b"v" * size)


def joined(fields):
    found = {}
    for name, value in fields:
        found[name] = found[name] + b"," + value if name in found else value
    return found


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(FIELDS, st.sampled_from([None, 0, 60, 300, 4096]), st.booleans(), st.booleans()),
        min_size=2,
        max_size=25,
    )
)
def test_remembered_blocks_are_never_stale_whatever_the_client_does_to_its_table(requests):
    encoder, reader = hpack.Encoder(), HeadReader(1 << 16)
    for fields, table_bytes, has_huffman, is_trailer in requests:
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        wanted = [*NEEDED, *fields]
        block = encoder.encode(wanted, huffman=has_huffman)
        if is_trailer:
            assert [tuple(one) for one in reader.decode(block)] == wanted
        else:
            assert reader.read(block).fields == joined(wanted)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=40))
def test_the_same_bytes_mean_what_the_table_says_now(choices):
    """Index 62 is the newest entry: one byte whose meaning each new entry changes."""
    reader, newest = HeadReader(1 << 16), None
    begin = b"\x83\x86\x44\x02/p"  # POST, http, /p without indexing it: literal of the name 4 … indexed as 62
    reader.read(begin)
    for choice in choices:
        if choice or newest is None:
            newest = b"v%d" % choice
            block = b"\x83\x86\x04\x02/p\x40\x01x\x02" + newest
            assert reader.read(block).fields[b"x"] == newest
        head = reader.read(b"\x83\x86\x04\x02/p\xbe")
        assert head.fields[b"x"] == newest


def test_the_same_block_gives_the_same_object_until_the_table_changes():
    reader, encoder = HeadReader(1 << 16), hpack.Encoder()
    encoder.encode([*NEEDED, (b"x", b"1")])
    reader.read(hpack.Encoder().encode([*NEEDED, (b"x", b"1")]))
    block = encoder.encode([*NEEDED, (b"x", b"1")])
    first = reader.read(block)
    assert reader.read(block) is first
    reader.decode(b"\x40\x01y\x011")
    with pytest.raises(HeadError, match="must have :path"):  # the same bytes mean something else now
        reader.read(block)


def test_a_thousand_different_heads_are_not_all_remembered():
    reader = HeadReader(1 << 16)
    for number in range(1000):
        block = heads.block([*NEEDED, (b"x-request-id", b"%d" % number)])
        assert reader.read(block).fields[b"x-request-id"] == b"%d" % number
    assert len(reader._known) <= 64
    long = heads.block([*NEEDED, (b"x", b"v" * 2000)])
    assert HeadReader(1 << 16).read(long) is not reader.read(long)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([*NEEDED, (b"X", b"1")], "no header b'X'"),
        ([*NEEDED, (b"connection", b"close")], "no header b'connection'"),
        ([*NEEDED, (b"te", b"gzip")], "no header b'te'"),
        ([*NEEDED, (b"x", b"a\r\nb")], "must not hold line ends"),
        ([*NEEDED, (b"x", b"a\0")], "must not hold line ends or NUL"),
        ([*NEEDED, (b":status", b"200")], "the pseudo-header b':status'"),
        ([*NEEDED, NEEDED[0]], "the pseudo-header b':method'"),
        ([NEEDED[0], (b"x", b"1"), *NEEDED[1:]], "the pseudo-header b':scheme'"),
        (NEEDED[:2], "a request must have :path"),
        ([*NEEDED[:2], (b":path", b"")], "a request must have :path"),
    ],
)
def test_headers_that_no_request_may_have_are_refused(fields, words):
    with pytest.raises(HeadError, match=words):
        HeadReader(1 << 16).read(heads.block(fields))


def test_values_of_the_same_name_are_joined():
    fields = HeadReader(1 << 16).read(heads.block([*NEEDED, (b"x", b"1"), (b"x", b"2")])).fields
    assert fields[b"x"] == b"1,2"


@pytest.mark.parametrize(
    "block", [b"\x80", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x40", b"\x40\x7f", b"\xfe", b"\x3f\xff\xff\x7f"]
)
def test_a_block_that_cannot_be_read_ends_the_connection(block):
    with pytest.raises(ConnectionFault) as caught:
        HeadReader(1 << 16).read(block)
    assert caught.value.fault is Fault.COMPRESSION_ERROR


def test_a_small_block_that_unfolds_to_much_is_refused():
    reader = HeadReader(16 << 10)
    reader.decode(b"\x40" + heads.block([(b"x", b"v" * 4000)])[1:])
    with pytest.raises(ConnectionFault) as caught:
        reader.read(b"\xbe" * 100)
    assert caught.value.fault is Fault.ENHANCE_YOUR_CALM


def test_a_block_in_parts_is_joined_within_its_limits():
    parts = HeadParts(Limits(max_head_bytes=10, max_empty_frames=2), 3, 1)
    for part in (b"abc", b"", b"", b"defg"):
        parts.add(part)
    assert (parts.joined(), parts.stream, parts.flags) == (b"abcdefg", 3, 1)
    with pytest.raises(ConnectionFault, match="at most 2 of their frames empty"):
        parts.add(b"")
    with pytest.raises(ConnectionFault, match="headers must be at most 10 bytes"):
        HeadParts(Limits(max_head_bytes=10), 1, 0).add(bytes(11))
