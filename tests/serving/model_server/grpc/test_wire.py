import gzip
import itertools
import urllib.parse
import zlib

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc import wire
from serving.model_server.grpc.wire import MessageReader


def read(block):
    return dict(hpack.Decoder().decode(block, raw=True))


def messages(pieces, max_bytes=1000, encoding=b"identity"):
    reader = MessageReader(max_bytes, encoding)
    return [one for piece in pieces for one in reader.feed(piece)], reader.is_between


def packed(content, flag=1):
    return bytes([flag]) + len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"99999999S", 99_999_999), (b"250m", 0.25), (b"0u", 0), (b"7n", 7e-9)],
)
def test_a_timeout_is_read_in_its_unit(text, seconds):
    assert wire.timeout_s(text) == pytest.approx(seconds)


def test_without_a_timeout_there_is_none():
    assert wire.timeout_s(None) is None


@pytest.mark.parametrize("text", [b"", b"1", b"S", b"123456789S", b"1s", b"-1S", b"1.5S", b"1S ", b"1S\n", b"\xb2S"])
def test_what_is_no_timeout_is_refused(text):
    with pytest.raises(ServingError, match="grpc-timeout must be at most 8 digits and one of H, M, S, m, u and n"):
        wire.timeout_s(text)


@given(st.text(max_size=400))
def test_the_text_of_a_status_comes_through(text):
    fields = read(wire.status(Code.NOT_FOUND, text))
    assert fields[b"grpc-status"] == b"5"
    sent = fields[b"grpc-message"]
    assert all(0x20 <= byte < 0x7F for byte in sent)
    assert urllib.parse.unquote_to_bytes(sent) == text.encode("utf-8", "replace")


def test_percent_and_control_characters_are_written_as_percent_and_two_digits():
    assert read(wire.status(Code.INTERNAL, "100%\n é"))[b"grpc-message"] == b"100%25%0A %C3%A9"


def test_a_long_text_is_cut_where_tensorflow_serving_cuts_it():
    assert read(wire.status(Code.INTERNAL, "x" * 1024))[b"grpc-message"] == b"x" * 1024
    assert read(wire.status(Code.INTERNAL, "x" * 1025))[b"grpc-message"] == b"x" * 1024 + b"...TRUNCATED"
    assert read(wire.status(Code.INTERNAL, "é" * 1024))[b"grpc-message"] == b"%C3%A9" * 512 + b"...TRUNCATED"
    cut = read(wire.status(Code.INTERNAL, "x" + "é" * 512))[b"grpc-message"]
    assert cut == b"x" + b"%C3%A9" * 511 + b"...TRUNCATED"
    assert len(wire.status(Code.INTERNAL, "\U0001f30d" * 5000, is_alone=True)) < 8192  # what a client takes by default


def test_a_status_alone_has_the_headers_of_an_answer():
    fields = read(wire.status(Code.UNAVAILABLE, "later", is_alone=True))
    assert fields[b":status"] == b"200"
    assert fields[b"content-type"] == b"application/grpc"
    assert fields[b"grpc-status"] == b"14"
    assert read(wire.HEAD) == {
        b":status": b"200",
        b"content-type": b"application/grpc",
        b"grpc-accept-encoding": b"identity, deflate, gzip",
    }
    assert read(wire.OK) == {b"grpc-status": b"0"}
    assert read(wire.http_status(415))[b":status"] == b"415"


@given(sent=st.lists(st.binary(max_size=200), max_size=6), cuts=st.lists(st.integers(0, 1300), max_size=12))
def test_any_cutting_gives_the_same_messages(sent, cuts):
    data = b"".join(map(wire.framed, sent))
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert messages(pieces) == (sent, True)


def test_half_a_message_and_half_a_prefix_are_waited_for():
    assert messages([b"\0\0\0"]) == ([], False)
    assert messages([b"\0\0\0\0\x05", b"abc"]) == ([], False)
    assert messages([b"\0\0\0\0\x05", b"abc", b"de\0"]) == ([b"abcde"], False)


@pytest.mark.parametrize(
    ("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)], ids=["gzip", "deflate"]
)
def test_compressed_messages_are_uncompressed_and_others_beside_them_left(encoding, pack):
    data = packed(pack(b"x" * 900)) + packed(b"plain", 0) + packed(pack(b""))
    assert messages([data], encoding=encoding) == ([b"x" * 900, b"plain", b""], True)


@pytest.mark.parametrize(
    ("data", "encoding", "code", "words"),
    [
        (packed(gzip.compress(bytes(500_000))), b"gzip", Code.RESOURCE_EXHAUSTED, r"larger than max \(1001 vs. 1000"),
        (packed(zlib.compress(bytes(1001))), b"deflate", Code.RESOURCE_EXHAUSTED, r"larger than max \(1001 vs. 1000"),
        (packed(b"x" * 1001, 0), b"identity", Code.RESOURCE_EXHAUSTED, r"larger than max \(1001 vs. 1000"),
        (b"\0\xff\xff\xff\xff", b"identity", Code.RESOURCE_EXHAUSTED, "4294967295 vs. 1000"),
        (packed(b"no gzip"), b"gzip", Code.INTERNAL, "cannot be uncompressed"),
        (packed(gzip.compress(b"abc")[:-4]), b"gzip", Code.INTERNAL, "ends too early"),
        (packed(b""), b"gzip", Code.INTERNAL, "ends too early"),
        (packed(b"x"), b"snappy", Code.UNIMPLEMENTED, "gzip or deflate, got b'snappy'"),
        (packed(b"x"), b"identity", Code.INTERNAL, "gzip or deflate, got b'identity'"),
    ],
    ids=range(9),
)
def test_what_is_too_large_or_cannot_be_read_is_refused(data, encoding, code, words):
    with pytest.raises(ServingError, match=words) as caught:
        messages([data], encoding=encoding)
    assert caught.value.code is code


def test_a_message_of_just_the_limit_is_taken():
    assert messages([packed(b"x" * 1000, 0)]) == ([b"x" * 1000], True)
    assert messages([packed(gzip.compress(b"x" * 1000))], encoding=b"gzip") == ([b"x" * 1000], True)
