"""Malformed requests for REST: what is good HTTP around a bad question, and what is no good HTTP at all."""

from __future__ import annotations

import gzip
import random
import urllib.parse
from collections.abc import Callable

from tests.serving.robustness.mutation import bent, generated, mutated, written
from tests.serving.robustness.servers import get, post

_GOOD = (
    ("half:predict", {"instances": [1.0, 2.0, 5.0]}),
    ("half:predict", {"signature_name": "serving_default", "instances": [{"x": 1.0}, {"x": 2.0}]}),
    ("half:predict", {"inputs": {"x": [1.0, 2.0]}}),
    ("half/versions/2:predict", {"inputs": [1.0]}),
    ("half:regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}),
    ("half:classify", {"signature_name": "classify_x_to_y", "context": {"x": 1.0}, "examples": [{"x": [3.0]}]}),
    ("labelled:classify", {"examples": [{"id": 0}, {"id": 2}]}),
    ("text:predict", {"instances": ["grass", {"b64": "QUJD"}]}),
    ("work:predict", {"instances": [{"a": 6, "b": 3}, {"a": 1, "b": 0}]}),
    ("work:predict", {"signature_name": "total", "inputs": {"x": [1.5, 2.5]}}),
    *(
        ("echo:predict", {"signature_name": name, "instances": [[1, 2], [3, 4]]})
        for name in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    ),
    ("echo:predict", {"signature_name": "bool", "instances": [True, False]}),
    ("echo:predict", {"signature_name": "string", "inputs": [["a"], ["b"]]}),
)
_TARGETS = (
    "/v1/models/half", "/v1/models/half/metadata", "/v1/models/half/versions/1", "/v1/models/half/labels/stable",
    "/v1/models/half/versions/2/metadata", "/v1/models", "/v1/models/", "/v1/", "/", "/healthz", "/readyz",
    "/v1/models/..%2f..%2fetc/passwd:predict", "/v1/models/half/versions/99999999999999999999:predict",
    "/v1/models/half/versions/-1", "/v1/models/half%00:predict", "/v1/models/%ff%fe:predict", "/v1/models//:predict",
    "/v1/models/half:predict?x=1", "/v1/models/half:PREDICT", "/monitoring/prometheus/metrics",
    "/v1/models/half:status",
)  # fmt: skip
_HEADERS = (
    "Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: identity", "Accept-Encoding: gzip",
    "Content-Type: text/html; charset=utf-16", "X-Request-Id: " + "i" * 300, "X-Request-Id: \x80\xff",
    "Range: bytes=5-1",
    "Authorization: Bearer x", "Origin: https://x", "Expect: 100-continue", "Cookie: " + "c" * 5000,
    "X-Request-Id: a b",
)  # fmt: skip
_METHODS = ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "PRI", "get", "", "POST POST", "\xff")
_LENGTHS = ("-1", "+5", "1e3", "0x10", "99999999999999999999999", "5, 5", "", " ", "5\r\nContent-Length: 6", "70000000")
_VERSIONS = (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.1 ", b"", b"ICY/1.1", b"http/1.1")
_CODINGS = ("chunked", "Chunked, chunked", "gzip, chunked", "identity", "xchunked", "chunked\r\nContent-Length: 5")
_CHUNKS = (
    b"5\r\nabcde\r\n0\r\n\r\n", b"5;ext=1\r\nabcde\r\n0\r\nX: y\r\n\r\n", b"ffffffffffffffff\r\nabc", b"-1\r\n\r\n",
    b"5\r\nabc\r\n0\r\n\r\n", b"zz\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"0\r\n\r\n\x00\x01", b"\r\n\r\n",
)  # fmt: skip


def question(rng: random.Random) -> bytes:
    """Makes a request that is good HTTP: whatever it asks, the connection stays open."""
    kind = rng.random()
    if kind < 0.1:
        return get(_target(rng), *_headers(rng, expect=False))
    name, value = rng.choice(_GOOD)
    target = f"/v1/models/{name}" if rng.random() < 0.9 else _target(rng)
    if kind < 0.5:
        body = mutated(rng, written(value))
    elif kind < 0.85:
        body = written(bent(rng, value))
    elif kind < 0.95:
        body = written(generated(rng))
    else:
        body = rng.randbytes(rng.randint(0, 400))
    headers = _headers(rng, expect=False)
    if any(header.endswith("gzip") for header in headers) and rng.random() < 0.7:
        body = mutated(rng, gzip.compress(body, 1, mtime=0)) if rng.random() < 0.5 else gzip.compress(body, 1, mtime=0)
    return post(target, body, *headers)


def noise(rng: random.Random) -> bytes:
    """Makes bytes that are no good HTTP, or nearly; the connection is of no use afterwards."""
    name, value = rng.choice(_GOOD)
    good = post(f"/v1/models/{name}", written(value))
    head = f"POST /v1/models/{name} HTTP/1.1\r\n".encode()
    makers: tuple[Callable[[], bytes], ...] = (
        lambda: mutated(rng, good),
        lambda: mutated(rng, get(_target(rng), *_headers(rng, expect=True))),
        lambda: rng.randbytes(rng.randint(1, 300)),
        lambda: rng.choice(_METHODS).encode("latin-1") + good[4:],
        lambda: good.replace(b"HTTP/1.1", rng.choice(_VERSIONS), 1),
        lambda: head + f"Content-Length: {rng.choice(_LENGTHS)}\r\n\r\n".encode() + written(value),
        lambda: head + f"Transfer-Encoding: {rng.choice(_CODINGS)}\r\n\r\n".encode() + rng.choice(_CHUNKS),
        lambda: head + b"X: %b\r\n" % (b"v" * rng.choice((1, 400))) * rng.choice((1, 99, 101, 200)) + b"\r\n",
    )
    return rng.choice(makers)()


def _target(rng: random.Random) -> str:
    target = rng.choice(_TARGETS)
    if rng.random() < 0.5:
        broken = mutated(rng, target.encode())[:2000]
        target = urllib.parse.quote(broken, safe="/:?%") if rng.random() < 0.9 else target * 3
    return target if target.startswith("/") else f"/{target}"


def _headers(rng: random.Random, *, expect: bool) -> list[str]:
    chosen = [rng.choice(_HEADERS) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    return [header for header in chosen if expect or not header.startswith("Expect")]
