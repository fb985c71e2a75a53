"""Breaks bytes and JSON in every way that is cheap to think of; the same seed breaks the same way."""

from __future__ import annotations

import json
import random
from typing import Any

_BYTES = (
    b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"NaN",
    b"1e999", b"-", b"\\ud800", b"\\u0000", b"\xef\xbb\xbf", b"\r\n", b"null", b"\x80" * 9, b"Infinity",
)  # fmt: skip
_LEAVES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), float("-inf"), 5e-324, "", "x", "\x00", "é\U0001f30d", "\ud800", "serving_default",
    "../../etc/passwd", "A" * 4000, [], {}, [[]], [[], []], [[1], [1, 2]], {"b64": ""}, {"b64": "A"}, {"b64": "####"},
    {"b64": "QUJD"}, {"b64": 7}, {"b64": "QUJD", "x": 1}, {"": {}}, {"x": {"x": {"x": []}}},
)  # fmt: skip
_KEYS = (
    "instances",
    "inputs",
    "signature_name",
    "examples",
    "context",
    "x",
    "a",
    "b",
    "text",
    "id",
    "b64",
    "",
    "\ud800",
)
_MAX_NODES = 30


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Breaks bytes in one to four places: flips, cuts, doubles, puts in what parsers stumble over."""
    broken = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(broken))
        end = min(len(broken), at + rng.choice((1, 1, 2, 8, 64)))
        kind = rng.randrange(6)
        if kind == 0 and at < len(broken):
            broken[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del broken[at:end]
        elif kind == 2:
            broken[at:at] = broken[at:end] * rng.choice((1, 2, 50))
        elif kind == 3:
            broken[at:at] = rng.choice(_BYTES)
        elif kind == 4:
            broken[at:end] = rng.randbytes(rng.choice((1, 4, 32)))
        else:
            del broken[at:]
    return bytes(broken)


def leaf(rng: random.Random) -> Any:
    """Returns a JSON value that is likely to be none that was expected."""
    return rng.choice(_LEAVES) if rng.random() < 0.8 else rng.uniform(-1e6, 1e6)


def generated(rng: random.Random, depth: int = 4) -> Any:
    """Makes any JSON value, of words that the server knows more often than not."""
    kind = rng.random()
    if depth == 0 or kind < 0.4:
        return leaf(rng)
    if kind < 0.7:
        return [generated(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice(_KEYS): generated(rng, depth - 1) for _ in range(rng.randint(0, 4))}


def bent(rng: random.Random, value: Any) -> Any:
    """Exchanges one node of a JSON value, or a key, for another."""
    copy = json.loads(json.dumps(value))
    places: list[tuple[Any, Any]] = []
    left = [copy]
    while left and len(places) < _MAX_NODES:
        node = left.pop()
        children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in children:
            places.append((node, key))
            left.append(child)
    if not places or rng.random() < 0.05:
        return generated(rng)
    node, key = rng.choice(places)
    if isinstance(node, dict) and rng.random() < 0.4:
        node[rng.choice(_KEYS)] = node.pop(key)
    elif isinstance(node, list) and rng.random() < 0.3:
        node.append(leaf(rng))
    else:
        node[key] = generated(rng, 2)
    return copy


def written(value: Any) -> bytes:
    """Writes a JSON value as Python does: NaN and lone surrogates too."""
    return json.dumps(value).encode()
