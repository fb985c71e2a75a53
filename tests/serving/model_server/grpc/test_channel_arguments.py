import logging
import math

import pytest

from applications.errors import ConfigError
from serving.model_server.grpc.channel_arguments import parse


def test_arguments_change_the_limits_in_their_own_units():
    found = parse("grpc.max_connection_age_ms=2000, grpc.max_receive_message_length=-1,grpc.max_concurrent_streams=7,")
    assert (found.limits.max_age_s, found.limits.max_streams) == (2.0, 7)
    assert found.max_receive_bytes == 2**31 - 1
    assert parse("grpc.keepalive_time_ms=2147483647").limits.keepalive_s == math.inf
    assert parse("").max_receive_bytes is None


def test_sizes_outside_what_http2_allows_are_brought_into_it():
    found = parse("grpc.http2.max_frame_size=1,grpc.http2.lookahead_bytes=4294967296").limits
    assert (found.max_frame_bytes, found.stream_window_bytes) == (16_384, 2**31 - 1)
    assert parse("grpc.http2.max_frame_size=99999999").limits.max_frame_bytes == 2**24 - 1


def test_arguments_without_meaning_here_are_named(caplog):
    with caplog.at_level(logging.WARNING):
        assert parse("grpc.lb=pick_first") == parse("")
    assert "grpc.lb: of no effect here; these have one: grpc.max_connection_idle_ms" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age", "must be key=value pairs with commas between, got 'age'"),
        ("grpc.max_concurrent_streams=many", "grpc.max_concurrent_streams must be a whole number, got 'many'"),
    ],
)
def test_wrong_arguments_are_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        parse(text)
