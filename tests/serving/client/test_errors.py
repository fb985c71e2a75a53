"""What a client says of a server that it does not reach; the words are those of gRPC 1.8 and httpx 0.28."""

import pytest

from serving.client.errors import not_reached


@pytest.mark.parametrize(
    ("details", "said", "may_retry"),
    [
        (
            "last error: INTERNAL: ipv4:127.0.0.1:8501: Failed parsing HTTP/2 (Expected SETTINGS frame as the first "
            "frame, got frame type 80) (Trying to connect an http1.x server (HTTP status 400))",
            "it speaks another protocol. gRPC and REST have a port each",
            False,
        ),
        ("illegal request line", "it speaks another protocol", False),
        (
            "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:100000f7:SSL routines:OPENSSL_internal:"
            "WRONG_VERSION_NUMBER: Invalid certificate verification context: OK",
            "it speaks without TLS",
            False,
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)",
            "its certificate is not trusted, or not for this name. Name whom to trust (Options(ca_file=…), --ca-file)",
            False,
        ),
        ("[Errno -2] Name or service not known", "no machine has this name", True),
        ("errors resolving a:1: [field:hostname lookup error:…]", "no machine has this name", True),
        ("last error: UNAVAILABLE: ipv4:127.0.0.1:8600: Socket closed", "(Socket closed). It may want TLS", True),
        ("Server disconnected without sending a response.", "sending a response). It may want TLS: grpcs://", True),
        ("ipv4:127.0.0.1:1: Connection refused", "(Connection refused). Start a server with `earthloop serve`", True),
    ],
)
def test_what_is_wrong_with_an_address_is_said_with_the_next_step(details, said, may_retry):
    error = not_reached("station:8500", details)
    assert str(error).startswith("UNAVAILABLE: station:8500 cannot be ")
    assert said in str(error)
    assert error.may_retry == may_retry
