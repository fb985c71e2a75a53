"""One question to a model over REST, from its body to its answer.

Nothing here waits: the answer comes by a call in the loop's thread. A task for each request would cost as much as
reading its JSON does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from serving.model_server.data_plane import DEFAULT_SIGNATURE, MAX_ID_BYTES, Call
from serving.model_server.errors import Code, ServingError
from serving.model_server.example_methods import CLASSIFY, INPUTS, METHODS, REGRESS
from serving.model_server.rest.json_answers import classification_answer, column_answer, regression_answer, row_answer
from serving.model_server.rest.json_examples import read_examples
from serving.model_server.rest.json_tensors import parse_body, read_tensors, signature_name

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from serving.model_server.batch_task import Answer, Task
    from serving.model_server.data_plane import DataPlane
    from serving.model_server.leases import Lease
    from serving.model_server.rest.messages import Request
    from serving.model_server.rest.paths import Route
    from serving.model_server.servable import Signature, Tensors

_LARGE_BYTES = 1 << 20  # bodies from here on are read outside the loop, which would answer nobody meanwhile
_GZIP = 16 + zlib.MAX_WBITS
Done = Callable[[bytes | None, ServingError | None], None]


@dataclasses.dataclass(slots=True)
class _Question:
    """A request that was read: what to compute, and how to write the answer."""

    lease: Lease
    signature: Signature
    inputs: Tensors
    call: Call


class Exchange:
    """One question and its answer."""

    __slots__ = ("_client_id", "_deadline_s", "_done", "_is_cancelled", "_max_bytes", "_plane", "_route", "_task")

    def __init__(self, plane: DataPlane, route: Route, done: Done, *, deadline_s: float, max_bytes: int) -> None:
        """Takes what it needs; `begin` begins.

        Args:
            plane: answers.
            route: what is asked of which model.
            done: called once with the body of the answer, or with the error; not after `cancel`.
            deadline_s: on the loop's clock.
            max_bytes: of a body that was compressed.
        """
        self._plane = plane
        self._route = route
        self._done = done
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes
        self._client_id = ""
        self._task: Task | None = None
        self._is_cancelled = False

    def begin(self, request: Request, readers: Executor) -> None:
        """Reads the request and has it computed; a large one is read by `readers`, and other requests go on.

        Raises:
            ServingError: it is refused at once; `done` is not called then.
        """
        self._client_id = request.headers.get(b"x-request-id", b"")[:MAX_ID_BYTES].decode("utf-8", "replace")
        if len(request.body) < _LARGE_BYTES and b"content-encoding" not in request.headers:
            self._submit(self._read(request))
            return
        reading = asyncio.get_running_loop().run_in_executor(readers, self._read, request)
        reading.add_done_callback(self._was_read)

    def cancel(self) -> None:
        """Forgets the question; its client went away."""
        self._is_cancelled = True
        if self._task is not None:
            self._plane.cancel(self._task)

    def _was_read(self, reading: asyncio.Future[_Question]) -> None:
        if reading.cancelled():
            return
        error = reading.exception()
        try:
            if error is not None:
                raise error
            if self._is_cancelled:
                reading.result().lease.release()
            else:
                self._submit(reading.result())
        except Exception as refused:
            if not self._is_cancelled:
                self._answered(None, refused)

    def _submit(self, question: _Question) -> None:
        try:
            self._task = self._plane.start(
                question.lease, question.signature, question.inputs, question.call, self._answered
            )
        except BaseException:
            question.lease.release()
            raise

    def _answered(self, result: Any, error: BaseException | None) -> None:
        if error is None or isinstance(error, ServingError):
            self._done(result, error)
        else:
            self._done(None, ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}"))

    def _read(self, request: Request) -> _Question:
        """Reads the body; called in the loop's thread or another."""
        body = parse_body(content_of(request, self._max_bytes))
        if self._route.what == "predict":
            return self._read_predict(body)
        return self._read_examples(body)

    def _read_predict(self, body: dict[str, Any]) -> _Question:
        name = signature_name(body)
        lease = self._plane.lease(self._route.ref)
        try:
            signature = lease.servable.signatures.get(name or DEFAULT_SIGNATURE)
            if signature is None:
                raise ServingError(
                    Code.INVALID_ARGUMENT,
                    f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def',
                )
            if not signature.inputs:
                raise ServingError(Code.INVALID_ARGUMENT, f"Failed to get input map for signature: {name or 'DEFAULT'}")
            tensors, is_in_rows = read_tensors(body, signature.inputs)
            return _Question(lease, signature, tensors, self._call(row_answer if is_in_rows else column_answer))
        except BaseException:
            lease.release()
            raise

    def _read_examples(self, body: dict[str, Any]) -> _Question:
        name = signature_name(body)
        examples = read_examples(body)
        is_classify = self._route.what == "classify"
        method = METHODS[CLASSIFY if is_classify else REGRESS]
        write = classification_answer if is_classify else regression_answer
        lease = self._plane.lease(self._route.ref)
        try:
            signature = self._plane.example_signature(method, lease, name)
            rows = examples.joined()
            self._plane.metrics.examples(lease.servable.name, len(rows))
            call = self._call(lambda answer: write(method.shape(answer)))
            call = dataclasses.replace(call, api=method.api, outputs=method.outputs(signature))
            return _Question(lease, signature, {INPUTS: rows}, call)
        except BaseException:
            lease.release()
            raise

    def _call(self, shape: Callable[[Answer], bytes]) -> Call:
        return Call(deadline_s=self._deadline_s, client_id=self._client_id, shape=shape)


def content_of(request: Request, max_bytes: int) -> bytes:
    """Returns the body, uncompressed.

    Raises:
        ServingError: the encoding is another than gzip, the data are broken, or they grow beyond `max_bytes`.
    """
    encoding = request.headers.get(b"content-encoding", b"").strip().lower()
    if encoding in {b"", b"identity"}:
        return request.body
    if b"gzip" not in encoding:
        raise ServingError(
            Code.INVALID_ARGUMENT,
            f"Content-Encoding must be gzip or identity, got {encoding.decode('latin-1')!r}",
            http_status=415,
        )
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(request.body, max_bytes)
        if unpacker.unconsumed_tail:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED, f"the body must be at most {max_bytes} bytes uncompressed", http_status=413
            )
        content += unpacker.flush()
    except zlib.error as error:
        raise ServingError(Code.INVALID_ARGUMENT, f"the body is not gzip: {error}") from error
    if not unpacker.eof:
        raise ServingError(Code.INVALID_ARGUMENT, "the body is not gzip: it ends too early")
    return content
