"""What a model server answers when it cannot answer: canonical codes, and the HTTP statuses TensorFlow Serving has."""

from __future__ import annotations

import enum

from applications.errors import EarthloopError


class Code(enum.IntEnum):
    """Canonical status codes, with gRPC's numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class ServingError(EarthloopError):
    """A request, or the loading of a model, that ends with a code other than OK.

    Attributes:
        code: canonical status code, for gRPC.
        http_status: for REST.
    """

    def __init__(self, code: Code, message: str, *, http_status: int = 0) -> None:
        """Takes the code and the words for the client.

        Args:
            code: any but OK.
            message: what TensorFlow Serving says, where it says something.
            http_status: where it is another than the code's own.
        """
        super().__init__(message)
        self.code = code
        self.http_status = http_status or HTTP_STATUS[code]
