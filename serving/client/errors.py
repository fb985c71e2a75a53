"""What a client raises when it gets no answer."""

from __future__ import annotations

from applications.errors import EarthloopError
from serving.model_server.errors import Code

START = "Start a server with `earthloop serve`, or give its address."
_NEXT = {
    Code.UNAVAILABLE: "Ask again a little later.",
    Code.DEADLINE_EXCEEDED: "Allow more time with Options(timeout_s=…), or send fewer items at once.",
    Code.NOT_FOUND: "See which models the server has in its log, and whether the version has been loaded.",
    Code.UNAUTHENTICATED: "Give the token with Options(token=…).",
    Code.RESOURCE_EXHAUSTED: "Send fewer items in one request with Options(rows_per_request=…).",
}


class ClientError(EarthloopError):
    """A request that was not answered.

    Attributes:
        code: canonical status code, the server's where it gave one.
        may_retry: whether the same request may well be answered a moment later.
    """

    def __init__(self, code: Code, message: str, *, may_retry: bool = False, next_step: str = "") -> None:
        """Takes the code, and the server's words or what went wrong on the way to it.

        Args:
            code: any but OK.
            message: in words.
            may_retry: see the attribute.
            next_step: what to do; by the code unless given.
        """
        super().__init__(f"{code.name}: {message.rstrip('. ')}. {next_step or _NEXT.get(code, '')}".strip())
        self.code = code
        self.may_retry = may_retry
