"""What all methods of the gRPC services share: errors as statuses, deadlines, the client's id, counting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from serving.model_server.data_plane import MAX_ID_BYTES, ModelRef
from serving.model_server.errors import Code, ServingError

if TYPE_CHECKING:
    from serving.model_server.data_plane import DataPlane
    from serving.model_server.grpc.exchange import Begin, Cancel, Context, Done

ID_KEY = b"x-request-id"  # metadata in which a client names its request, as in the REST header
_LOG = logging.getLogger(__name__)

Method = Callable[[Any, Any], Awaitable[bytes]]  # parsed request, context -> serialized response
Count = Callable[[str, Code, float], None]  # model, how it ended, seconds


class Call:
    """A request that is being answered: counted once, however it ends."""

    __slots__ = ("_begun_s", "_count", "_done", "model")

    def __init__(self, done: Done, count: Count | None) -> None:
        """Takes what is told the end.

        Args:
            done: takes the bytes of the response, or the error.
            count: told of the model, the code and the seconds it took; None where that is not counted.
        """
        self.model = ""  # until the request is parsed, which is not kept: it may be large
        self._done = done
        self._count = count
        self._begun_s = time.perf_counter()

    def parse(self, request_class: Any, data: bytes) -> Any:
        """Parses the request.

        Raises:
            ServingError: it cannot be parsed, and is counted.
        """
        try:
            request = parse(request_class, data)
        except ServingError as error:
            self.count(error.code)
            raise
        spec = getattr(request, "model_spec", None)
        self.model = "" if spec is None else spec.name
        return request

    def end(self, answer: bytes | None, error: BaseException | None) -> None:
        """Hands the answer on; counted before, so that who has its answer finds its request counted."""
        if error is not None and not isinstance(error, ServingError):
            _LOG.error("a gRPC call failed", exc_info=error)
            error = ServingError(Code.INTERNAL, str(error))
        self.count(Code.OK if error is None else error.code)
        self._done(answer, error)

    def count(self, code: Code) -> None:
        """Counts the request."""
        if self._count is not None:
            self._count(self.model, code, time.perf_counter() - self._begun_s)


def handler(method: Method, request_class: Any, count: Count | None = None) -> Begin:
    """Makes what gRPC calls of a method of ours.

    Args:
        method: answers a parsed request, or raises ServingError.
        request_class: message of the request.
        count: told of the model, the code and the seconds it took.
    """

    def begin(data: bytes, context: Context, done: Done) -> Cancel:
        """Has the method work in a task of its own."""
        call = Call(done, count)
        request = call.parse(request_class, data)
        task = asyncio.ensure_future(method(request, context))

        def ended(task: asyncio.Future[bytes]) -> None:
            """Hands on what the task came to."""
            if task.cancelled():
                call.count(Code.CANCELLED)
            elif error := task.exception():
                call.end(None, error)
            else:
                call.end(task.result(), None)

        task.add_done_callback(ended)
        return task.cancel

    return begin


def parse(request_class: Any, data: bytes) -> Any:
    """Parses a request.

    Raises:
        ServingError: INVALID_ARGUMENT, the bytes are no such message.
    """
    try:
        return request_class.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise ServingError(
            Code.INVALID_ARGUMENT,
            f"the request must be a serialized {request_class.DESCRIPTOR.full_name}, but its {len(data)} bytes are "
            "not. Build it with the stubs of tensorflow-serving-api.",
        ) from error


def model_ref(spec: Any) -> ModelRef:
    """Returns which model a ModelSpec names."""
    choice = spec.WhichOneof("version_choice")
    if choice is None:
        return ModelRef(spec.name)
    if choice == "version":
        return ModelRef(spec.name, spec.version.value)
    return ModelRef(spec.name, None, spec.version_label)


def need_spec(request: Any) -> Any:
    """Returns the request's ModelSpec.

    Raises:
        ServingError: INVALID_ARGUMENT, it has none.
    """
    if not request.HasField("model_spec"):
        raise ServingError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
    return request.model_spec


def client_id(context: Context) -> str:
    """Returns what the client called its request; "" where it did not."""
    return context.head.fields.get(ID_KEY, b"")[:MAX_ID_BYTES].decode("utf-8", "replace")


def counter(plane: DataPlane, api: str) -> Count:
    """Returns what counts the requests of one method."""

    def count(name: str, code: Code, seconds: float) -> None:
        """Counts a request; names that no model has must not become label values."""
        plane.metrics.request(name if code is Code.OK or plane.knows(name) else "", api, "GRPC", code, seconds)

    return count
