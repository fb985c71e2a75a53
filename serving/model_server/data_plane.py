"""One data plane under thin transports: finds the model, checks, batches, counts, logs.

Transports read and write their own messages and count requests (`metrics.request`), as TensorFlow Serving's do; all
else is here, so that REST and gRPC cannot differ.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from serving.model_server.batch_task import Answer, Task, own_tensors
from serving.model_server.errors import Code, ServingError
from serving.model_server.example_methods import (
    CLASSIFY,
    INPUTS,
    METHODS,
    REGRESS,
    Classification,
    ExampleMethod,
    Examples,
    Regression,
)
from serving.model_server.input_checks import check_inputs, check_outputs
from serving.model_server.log_entries import Answered, Inference

if TYPE_CHECKING:
    from serving.model_server.batching import Batcher
    from serving.model_server.manager import Lease, Manager, VersionStatus
    from serving.model_server.metrics import Metrics
    from serving.model_server.request_log import RequestLog
    from serving.model_server.servable import Signature, Tensors

DEFAULT_SIGNATURE = "serving_default"
MAX_ID_BYTES = 256  # of a client's name for its request; many may wait for the request log
_MICROS = 1e6


@dataclasses.dataclass(frozen=True)
class ModelRef:
    """Which model a request is for; neither version nor label asks for the newest version."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclasses.dataclass(frozen=True)
class Call:
    """What a request asks of a signature, apart from its tensors.

    Attributes:
        outputs: names wanted; none of them asks for all.
        deadline_s: on the loop's clock.
        client_id: given by the client; goes to the request log.
        api: "Predict", "Classify" or "Regress".
        entrypoint: "REST" or "GRPC".
        shape: makes the result of the batch's answer, in a worker's thread.
        is_logged: whether the request log is asked; not for a part of a request.
    """

    outputs: Collection[str] | None = None
    deadline_s: float | None = None
    client_id: str = ""
    api: str = "Predict"
    entrypoint: str = "REST"
    shape: Callable[[Answer], Any] = own_tensors
    is_logged: bool = True


_PLAIN = Call()


class DataPlane:
    """Answers requests of all transports. Its methods are for the loop's thread."""

    def __init__(
        self, manager: Manager, batcher: Batcher, metrics: Metrics, request_log: RequestLog | None = None
    ) -> None:
        """Takes its parts; `request_log` is asked for each answered request whether it wants it."""
        self.manager = manager
        self.metrics = metrics
        self._batcher = batcher
        self._log = request_log

    def lease(self, ref: ModelRef) -> Lease:
        """Holds a model's version in memory.

        Raises:
            ServingError: NOT_FOUND.
        """
        return self.manager.lease(ref.name, version=ref.version, label=ref.label)

    def knows(self, model: str) -> bool:
        """Returns whether a model of this name is configured: other names must not become label values."""
        return model in self.manager.models()

    def status(self, ref: ModelRef) -> list[VersionStatus]:
        """Returns the states of a model's versions.

        Raises:
            ServingError: NOT_FOUND.
        """
        return self.manager.status(ref.name, version=ref.version, label=ref.label)

    def signature(self, lease: Lease, name: str = "") -> Signature:
        """Returns a signature of a leased model.

        Raises:
            ServingError: FAILED_PRECONDITION, the model has none of this name.
        """
        name = name or DEFAULT_SIGNATURE
        signature = lease.servable.signatures.get(name)
        if signature is None:
            raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        return signature

    def start(
        self,
        lease: Lease,
        signature: Signature,
        inputs: Tensors,
        call: Call,
        answer: Callable[[Any, Exception | None], None],
    ) -> Task:
        """Begins a request; the lease is the request's from here on, and released when nothing computes for it.

        Args:
            lease: of the model.
            signature: one of its signatures.
            inputs: the request's tensors.
            call: what else it asks.
            answer: called once in the loop's thread with the result, or None and the error.

        Returns:
            For `cancel`.

        Raises:
            ServingError: it is refused; the lease is the caller's still, and `answer` is not called.
        """
        check_inputs(lease.servable, signature, inputs)
        check_outputs(signature, call.outputs)
        task = Task(
            servable=lease.servable,
            signature=signature,
            inputs=inputs,
            answer=answer,
            shape=call.shape,
            release=lease.release,
            outputs=call.outputs or None,
            deadline_s=call.deadline_s,
        )
        self._observe(task, call)
        try:
            self._batcher.submit(task)
        except ServingError as error:
            if error.code is Code.UNAVAILABLE:
                self.metrics.queue_full.add(lease.servable.name)
            raise
        return task

    def cancel(self, task: Task) -> None:
        """Forgets a request that was started; its client went away."""
        self._batcher.cancel(task)

    async def predict(
        self,
        lease: Lease,
        signature: Signature,
        inputs: Tensors,
        call: Call = _PLAIN,
    ) -> Any:
        """Answers one request; the caller's lease stays the caller's.

        Returns:
            What `call.shape` makes: the outputs by name unless told otherwise.

        Raises:
            ServingError: as the model or the checks say.
        """
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answer(result: Any, error: Exception | None) -> None:
            """Ends the wait, unless the caller has gone."""
            if answered.done():
                return
            if error is None:
                answered.set_result(result)
            else:
                answered.set_exception(error)

        held = lease.again()
        try:
            task = self.start(held, signature, inputs, call, answer)
        except BaseException:
            held.release()
            raise
        try:
            return await answered
        except asyncio.CancelledError:
            self.cancel(task)
            raise

    async def classify(self, lease: Lease, signature: str, examples: Examples, call: Call = _PLAIN) -> Classification:
        """Answers tf.Examples with labels and scores.

        Raises:
            ServingError: the signature cannot classify, or as the model says.
        """
        return await self._examples(METHODS[CLASSIFY], lease, signature, examples, call)

    async def regress(self, lease: Lease, signature: str, examples: Examples, call: Call = _PLAIN) -> Regression:
        """Answers tf.Examples with one number each.

        Raises:
            ServingError: the signature cannot regress, or as the model says.
        """
        return await self._examples(METHODS[REGRESS], lease, signature, examples, call)

    async def multi_inference(
        self,
        lease: Lease,
        tasks: Sequence[tuple[str, str]],
        examples: Examples,
        call: Call = _PLAIN,
    ) -> list[Classification | Regression]:
        """Answers the same examples with several signatures of one model.

        Args:
            lease: of the model.
            tasks: name of a signature ("" for the default) and method, such as `tensorflow/serving/classify`.
            examples: what all signatures are given.
            call: deadline and client.

        Raises:
            ServingError: a signature is asked for twice or missing, the method is none, or as the model says.
        """
        methods = self._example_methods(lease, tasks)
        start_s, model = time.monotonic(), lease.servable.name
        log = self._log_of(model) if methods else None
        kept: dict[str, Tensors] = {}
        if log is not None:
            methods = [(_keeping(one, key, kept), key) for one, key in methods]
        part = dataclasses.replace(call, is_logged=False)
        answers = await asyncio.gather(*(self._examples(one, lease, key, examples, part) for one, key in methods))
        if log is not None:
            entry = Answered(
                model=model,
                version=lease.servable.version,
                signature=methods[0][1],
                method="MultiInference",
                api=call.entrypoint,
                inputs={INPUTS: examples.joined()},
                outputs={},
                client_id=call.client_id,
                latency_s=time.monotonic() - start_s,
                tasks=tuple(Inference(signature=key, method=one.name, outputs=kept[key]) for one, key in methods),
            )
            self.metrics.request_logged(model, is_taken=log.record(entry))
        return list(answers)

    def _example_methods(self, lease: Lease, tasks: Sequence[tuple[str, str]]) -> list[tuple[ExampleMethod, str]]:
        """Returns the method and the signature's name of each task of a MultiInference."""
        seen: set[str] = set()
        methods = []
        for name, method in tasks:
            key = name or DEFAULT_SIGNATURE
            if key in seen:
                raise ServingError(Code.INVALID_ARGUMENT, f"Duplicate evaluation of signature: {key}")
            seen.add(key)
            if key not in lease.servable.signatures:
                raise ServingError(Code.INVALID_ARGUMENT, f"Requested signature not found in model graph: {key}")
            if method not in METHODS:
                raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
            self.example_signature(METHODS[method], lease, key)
            methods.append((METHODS[method], key))
        return methods

    async def _examples(
        self, method: ExampleMethod, lease: Lease, signature: str, examples: Examples, call: Call
    ) -> Any:
        chosen = self.example_signature(method, lease, signature)
        rows = examples.joined()
        call = dataclasses.replace(call, outputs=method.outputs(chosen), api=method.api, shape=method.shape)
        self.metrics.examples(lease.servable.name, len(rows))
        return await self.predict(lease, chosen, {INPUTS: rows}, call)

    def example_signature(self, method: ExampleMethod, lease: Lease, name: str) -> Signature:
        """Returns a signature that can answer tf.Examples.

        Raises:
            ServingError: INVALID_ARGUMENT, there is none of this name, or it cannot.
        """
        name = name or DEFAULT_SIGNATURE
        signature = lease.servable.signatures.get(name)
        if signature is None:
            raise ServingError(Code.INVALID_ARGUMENT, f"No signature was found with the name: {name}")
        method.check(lease.servable, signature)
        return signature

    def _log_of(self, model: str) -> RequestLog | None:
        """Returns the request log where it wants this request; to be asked once for each."""
        return self._log if self._log is not None and self._log.wants(model) else None

    def _observe(self, task: Task, call: Call) -> None:
        """Has the answer of a task timed, and logged where the log wants it."""
        model, answer, start_s = task.servable.name, task.answer, time.monotonic()
        log = self._log_of(model) if call.is_logged else None
        kept: list[Tensors] = []
        if log is not None:
            shape = task.shape

            def keep(whole: Answer) -> Any:
                """Makes the result, and holds on to the tensors for the log."""
                kept.append(whole.kept())
                return shape(whole)

            task.shape = keep

        def observed(result: Any, error: Exception | None) -> None:
            """Hands the answer on, once it is counted."""
            seconds = time.monotonic() - start_s
            if error is None:
                self.metrics.runtime_latency.observe(model, call.api, "TF1", value=seconds * _MICROS)
                if log is not None and kept:
                    is_taken = log.record(_entry(task, kept[0], call, seconds))
                    self.metrics.request_logged(model, is_taken=is_taken)
            answer(result, error)

        task.answer = observed


def _keeping(method: ExampleMethod, name: str, kept: dict[str, Tensors]) -> ExampleMethod:
    """Returns the method that also puts the outputs of a signature into `kept`."""

    def shape(answer: Answer) -> Any:
        """Makes the method's result."""
        kept[name] = answer.kept()
        return method.shape(answer)

    return dataclasses.replace(method, shape=shape)


def _entry(task: Task, outputs: Tensors, call: Call, seconds: float) -> Answered:
    """Returns an answered request as the request log takes it."""
    return Answered(
        model=task.servable.name,
        version=task.servable.version,
        signature=task.signature.name,
        method=call.api,
        api=call.entrypoint,
        inputs=task.inputs,
        outputs=outputs,
        client_id=call.client_id,
        latency_s=seconds,
    )
