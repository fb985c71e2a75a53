"""TensorFlow Serving's REST interface, and what this server has beside it.

Beside `/v1/models/…` and the metrics there are `/healthz` (the process answers) and `/readyz` (every model has a
version that answers, and the server is not about to end). With bearer tokens all but these two ask for one.
A client may name its request in `x-request-id`: the name is sent back and goes to the request log.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from serving.model_server.errors import Code, ServingError
from serving.model_server.rest.descriptions import metadata_answer, status_answer
from serving.model_server.rest.exchange import Exchange
from serving.model_server.rest.json_answers import error_answer
from serving.model_server.rest.messages import Header, Request, Response
from serving.model_server.rest.paths import METHODS, Route, is_ours, route

if TYPE_CHECKING:
    from serving.model_server.auth import Tokens
    from serving.model_server.data_plane import DataPlane
    from serving.model_server.rest.connection import Cancel, Respond

_CORS: tuple[Header, ...] = (
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Access-Control-Allow-Methods", b"POST, GET"),
    (b"Access-Control-Allow-Headers", b"Content-Type"),
)
_METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"}
_MAX_ID_BYTES = 128
_PRINTABLE = re.compile(rb"[\x21-\x7e]*")
_MAX_ROUTES = 1024  # paths that are remembered
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_READERS = 2  # large bodies read at the same time


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestOptions:
    """How REST behaves.

    Attributes:
        timeout_s: seconds a request may take.
        metrics_path: of the page for Prometheus; "" for none.
        has_cors: whether browsers are told that every site may ask.
        tokens: that may ask; None lets everybody.
        is_ready: whether requests will be answered, for `/readyz`.
        max_body_bytes: of a body after uncompressing.
    """

    timeout_s: float = 30.0
    metrics_path: str = ""
    has_cors: bool = False
    tokens: Tokens | None = None
    is_ready: Callable[[], bool] = bool
    max_body_bytes: int = 64 << 20


class RestApi:
    """Answers HTTP requests. Its methods are for the loop's thread."""

    def __init__(self, plane: DataPlane, options: RestOptions, loop: asyncio.AbstractEventLoop) -> None:
        """Takes the data plane that answers and the loop whose clock counts."""
        self._plane = plane
        self._options = options
        self._now = loop.time
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read-body")
        self._routes: dict[str, Route] = {}

    def handle(self, request: Request, respond: Respond) -> Cancel | None:
        """Answers one request, now or later.

        Args:
            request: received whole.
            respond: takes the response, once.

        Returns:
            What to call if the client goes away before.
        """
        common = self._common(request)
        if request.method == "POST":
            found = self._routes.get(request.target)
            if found is not None and self._is_allowed(request):
                return self._ask(found, request, common, respond)
        try:
            special = self._special(request)
            if special is None:
                return self._v1(request, common, respond)
            special.headers = (*special.headers, *common)
            respond(special)
        except ServingError as error:
            respond(_refusal(error, common))
        return None

    def close(self) -> None:
        """Ends the threads that read large bodies."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _v1(self, request: Request, common: tuple[Header, ...], respond: Respond) -> Cancel | None:
        start_s = self._now()
        try:
            found = route(request.method, request.target)
        except ServingError as error:
            self._plane.metrics.request("", "", "REST", error.code, 0.0)
            raise
        if found.what in METHODS:
            if len(self._routes) < _MAX_ROUTES:
                self._routes[request.target] = found
            return self._ask(found, request, common, respond)
        code = Code.OK
        try:
            body = self._describe(found)
        except ServingError as error:
            code = error.code
            raise
        finally:
            self._count(found, code, self._now() - start_s, is_question=False)
        respond(Response(200, body, headers=common))
        return None

    def _ask(self, found: Route, request: Request, common: tuple[Header, ...], respond: Respond) -> Cancel | None:
        """Has a model answer."""
        start_s = self._now()

        def done(body: bytes | None, error: ServingError | None) -> None:
            """Counts the question and answers it."""
            self._count(found, Code.OK if error is None else error.code, self._now() - start_s, is_question=True)
            respond(_refusal(error, common) if error is not None else Response(200, body or b"", headers=common))

        exchange = Exchange(
            self._plane,
            found,
            done,
            deadline_s=start_s + self._options.timeout_s,
            max_bytes=self._options.max_body_bytes,
        )
        try:
            exchange.begin(request, self._readers)
        except ServingError as error:
            done(None, error)
            return None

        def cancel() -> None:
            """The client does not wait any more: often it has lost its patience, which an operator should see."""
            exchange.cancel()
            self._count(found, Code.CANCELLED, self._now() - start_s, is_question=True)

        return cancel

    def _describe(self, found: Route) -> bytes:
        if found.what == "status":
            return status_answer(self._plane.status(found.ref))
        with self._plane.lease(found.ref) as lease:
            return metadata_answer(lease)

    def _special(self, request: Request) -> Response | None:
        """Answers what is not TensorFlow Serving's interface to models; None for what is."""
        path = request.target.partition("?")[0]
        reads = request.method in {"GET", "HEAD"}
        if path == "/healthz" and reads:
            return Response(200, b"ok\n", _TEXT)
        if path == "/readyz" and reads:
            is_ready = self._options.is_ready()
            return Response(200 if is_ready else 503, b"ready\n" if is_ready else b"not ready\n", _TEXT)
        if request.method not in _METHODS:
            raise ServingError(Code.UNIMPLEMENTED, f"{request.method} is not supported; use GET or POST")
        if request.method != "OPTIONS" and not self._is_allowed(request):
            response = _refusal(ServingError(Code.UNAUTHENTICATED, "a bearer token is needed: Authorization: Bearer …"))
            response.headers = ((b"WWW-Authenticate", b"Bearer"),)
            return response
        if self._options.metrics_path and path == self._options.metrics_path and reads:
            return Response(200, self._plane.metrics.render(), _TEXT)
        if not is_ours(request.target):
            raise ServingError(Code.NOT_FOUND, f"Not found: {request.target}. Models are under /v1/models/")
        if request.method == "OPTIONS":
            if not re.search(rb"https?://", request.headers.get(b"origin", b"")):
                raise ServingError(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
            return Response(200, b"")
        return None

    def _is_allowed(self, request: Request) -> bool:
        tokens = self._options.tokens
        return tokens is None or tokens.accept(request.headers.get(b"authorization", b"").decode("latin-1"))

    def _common(self, request: Request) -> tuple[Header, ...]:
        """Returns the headers that every response to this request has."""
        common: tuple[Header, ...] = _CORS if self._options.has_cors else ()
        name = request.headers.get(b"x-request-id")
        if name and len(name) <= _MAX_ID_BYTES and _PRINTABLE.fullmatch(name):
            common += ((b"x-request-id", name),)
        return common

    def _count(self, found: Route, code: Code, seconds: float, *, is_question: bool) -> None:
        name = found.ref.name
        model = name if code is Code.OK or self._plane.knows(name) else ""
        self._plane.metrics.request(model, found.what if is_question else "", "REST", code, seconds)


def _refusal(error: ServingError, headers: tuple[Header, ...] = ()) -> Response:
    more = ((b"Retry-After", b"1"),) if error.http_status in {429, 503} else ()
    return Response(error.http_status, error_answer(str(error)), headers=(*headers, *more))
