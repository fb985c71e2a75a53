"""What all methods of the gRPC services share: errors as statuses, deadlines, the client's id, counting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from serving.model_server.data_plane import ModelRef
from serving.model_server.errors import Code, ServingError

if TYPE_CHECKING:
    from serving.model_server.data_plane import DataPlane

ID_KEY = "x-request-id"  # metadata in which a client names its request, as in the REST header
_MAX_MESSAGE = 1024  # characters of a status' text; TensorFlow Serving cuts it there
_MAX_ID = 256  # characters
_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_LOG = logging.getLogger(__name__)

Handler = Callable[[bytes, Any], Awaitable[bytes]]
Method = Callable[[Any, Any], Awaitable[bytes]]  # parsed request, context -> serialized response


def handler(method: Method, request_class: Any, count: Callable[[Any, Code, float], None] | None = None) -> Handler:
    """Makes what gRPC calls of a method of ours.

    Args:
        method: answers a parsed request, or raises ServingError.
        request_class: message of the request.
        count: told of the request, its code and the seconds it took.

    Returns:
        From the bytes of a request to those of the response; aborts the call with the status of an error.
    """

    async def answer(data: bytes, context: Any) -> bytes:
        begun_s, request, error = time.perf_counter(), None, None
        response = b""
        try:
            request = parse(request_class, data)
            response = await method(request, context)
        except ServingError as refusal:
            error = refusal
        except asyncio.CancelledError:
            error = ServingError(Code.CANCELLED, "the client went away")
            raise
        except Exception as fault:
            _LOG.exception("a gRPC call failed")
            error = ServingError(Code.INTERNAL, str(fault))
        finally:  # before the client has its answer: who asks for the counters then finds the request counted
            if count is not None:
                count(request, error.code if error else Code.OK, time.perf_counter() - begun_s)
        if error is not None:
            await context.abort(_STATUS[error.code], message_of(error))
        return response

    return answer


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


def message_of(error: Exception) -> str:
    """Returns the text of a status: the error's, cut where TensorFlow Serving cuts it."""
    text = str(error)
    return f"{text[:_MAX_MESSAGE]}...TRUNCATED" if len(text) > _MAX_MESSAGE else text


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


def deadline_s(context: Any) -> float | None:
    """Returns the call's deadline on the loop's clock, or None where the client set none."""
    remaining_s = context.time_remaining()
    return None if remaining_s is None else asyncio.get_running_loop().time() + remaining_s


def client_id(context: Any) -> str:
    """Returns what the client called its request; "" where it did not."""
    for key, value in context.invocation_metadata() or ():
        if key == ID_KEY:
            return (value if isinstance(value, str) else value.decode("utf-8", "replace"))[:_MAX_ID]
    return ""


def counter(plane: DataPlane, api: str) -> Callable[[Any, Code, float], None]:
    """Returns what counts the requests of one method."""

    def count(request: Any, code: Code, seconds: float) -> None:
        spec = getattr(request, "model_spec", None)
        name = spec.name if spec is not None else ""
        plane.metrics.request(name if code is Code.OK or plane.knows(name) else "", api, "GRPC", code, seconds)

    return count
