"""What a client raises when it gets no answer."""

from __future__ import annotations

from applications.errors import EarthloopError
from serving.model_server.errors import Code

START = "Start a server with `earthloop serve`, or give its address."
_NEXT = {
    Code.UNAVAILABLE: "Ask again a little later.",
    Code.DEADLINE_EXCEEDED: "Allow more time (Options(timeout_s=…), --timeout), or send fewer items at once.",
    Code.NOT_FOUND: "A server names what it serves as it starts; /v1/models/NAME on its REST port lists versions.",
    Code.UNAUTHENTICATED: "Give the token (Options(token=…), --token-file).",
    Code.RESOURCE_EXHAUSTED: "Send fewer items in one request with Options(rows_per_request=…).",
}

# What gRPC or httpx says where the address is at fault; what that means, the next step, and whether it may pass.
_AT_THE_ADDRESS = (
    (
        ("Failed parsing HTTP/2", "illegal request line", "ALPN"),
        "it speaks another protocol",
        "gRPC and REST have a port each, 8500 and 8501 unless changed: host:8500 asks over gRPC, http://host:8501 over "
        "REST.",
        False,
    ),
    (
        ("WRONG_VERSION_NUMBER",),
        "it speaks without TLS",
        "Give host:port in the place of grpcs://, http:// in that of https://.",
        False,
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification"),
        "its certificate is not trusted, or not for this name",
        "Name whom to trust (Options(ca_file=…), --ca-file), and the host as its certificate does.",
        False,
    ),
    (
        ("resolving", "Name or service not known", "nodename nor servname"),
        "no machine has this name",
        "Check the address.",
        True,
    ),
)


class ClientError(EarthloopError):
    """A request that was not answered.

    Attributes:
        code: canonical status code, the server's where it gave one.
        message: the server's words, or what went wrong on the way to it.
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
        self.message = message
        self.may_retry = may_retry


def not_reached(address: str, details: str) -> ClientError:
    """Makes the error for a server that no connection leads to.

    Args:
        address: as the caller gave it.
        details: what gRPC or httpx says.
    """
    for words, why, next_step, may_retry in _AT_THE_ADDRESS:
        if any(word in details for word in words):
            message = f"{address} cannot be asked: {why}"
            return ClientError(Code.UNAVAILABLE, message, may_retry=may_retry, next_step=next_step)
    reason = details.rsplit(": ", 1)[-1].strip() or details
    # What hangs up at once may be about to end, and may be asked again; or it waits for TLS.
    next_step = "It may want TLS: grpcs:// or https://." if "losed" in reason or "disconnected" in reason else START
    message = f"{address} cannot be reached ({reason.rstrip('.')})"
    return ClientError(Code.UNAVAILABLE, message, may_retry=True, next_step=next_step)
