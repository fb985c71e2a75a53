from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from serving.model_server.batching import Batcher, BatchingParameters
from serving.model_server.data_plane import Call, DataPlane, ModelRef
from serving.model_server.errors import Code, ServingError
from serving.model_server.example_methods import CLASSIFY, REGRESS, Examples
from serving.model_server.leases import Held, Lease
from serving.model_server.metrics import Metrics
from serving.model_server.servable import Signature, TensorInfo, Tensors

FLOAT, STRING = TensorInfo(dtype=1, shape=(None,)), TensorInfo(dtype=7, shape=(None,))


def signature(name: str, inputs: dict[str, TensorInfo], outputs: dict[str, TensorInfo]) -> Signature:
    return Signature(name=name, method_name="p", inputs=inputs, outputs=outputs, is_batchable=True)


def objects(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


class Model:
    """Gives back what `answers` holds, and remembers what it was asked."""

    name, version = "m", 3

    def __init__(self, *signatures: Signature, answers: Tensors | None = None) -> None:
        self.signatures = {one.name: one for one in signatures}
        self.answers = answers or {}
        self.asked: list[tuple[str, Tensors, Any]] = []
        self.gate: threading.Event | None = None

    def run(self, name: str, inputs: Tensors, outputs: Any = None) -> Tensors:
        self.asked.append((name, inputs, outputs))
        if self.gate is not None:
            assert self.gate.wait(20)
        return {key: self.answers[key] for key in outputs or self.answers}

    def signature_def_map(self) -> Any:
        from tensorflow_serving.apis import get_model_metadata_pb2

        definitions = get_model_metadata_pb2.SignatureDefMap()
        for one in self.signatures.values():
            for name in one.inputs:
                definitions.signature_def[one.name].inputs[name].name = f"{name}:0"
        return definitions

    def close(self) -> None: ...


class Log:
    """A request log of one model."""

    def __init__(self, model: str, *, has_room: bool = True) -> None:
        self.model, self.has_room = model, has_room
        self.entries: list[Any] = []

    def wants(self, model: str) -> bool:
        return model == self.model

    def record(self, entry: Any) -> bool:
        self.entries.append(entry)
        return self.has_room


class Managed:
    """A manager of one model."""

    def __init__(self, model: Model) -> None:
        self.held = Held(model)

    def lease(self, name: str, *, version: int | None = None, label: str | None = None) -> Lease:
        if name != "m":
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: Latest({name})")
        assert self.held.acquire()
        return Lease(self.held)

    def models(self) -> list[str]:
        return ["m"]

    def is_unused(self) -> bool:
        self.held.close()
        return self.held.wait_until_unused(0)


Scenario = Callable[[DataPlane, Lease], Awaitable[Any]]


def run(model: Model, scenario: Scenario, log: Log | None = None) -> tuple[Any, Metrics]:
    """Runs a scenario with a lease; afterwards nothing may hold the model."""

    async def main() -> tuple[Any, Metrics]:
        metrics, manager = Metrics(), Managed(model)
        batcher = Batcher(BatchingParameters(num_batch_threads=1), asyncio.get_running_loop(), metrics)
        plane = DataPlane(manager, batcher, metrics, log)  # type: ignore[arg-type]
        try:
            with plane.lease(ModelRef("m")) as lease:
                result = await scenario(plane, lease)
            assert manager.is_unused()
            return result, metrics
        finally:
            batcher.close()

    return asyncio.run(asyncio.wait_for(main(), 60))


def refusal(model: Model, scenario: Scenario) -> tuple[Code, str]:
    with pytest.raises(ServingError) as error:
        run(model, scenario)
    return error.value.code, str(error.value)


def pair() -> Model:
    inputs = {"a": FLOAT, "b": TensorInfo(dtype=7, shape=(None, 2))}
    return Model(
        signature("serving_default", inputs, {"y": FLOAT, "z": FLOAT}),
        answers={"y": np.float32([1]), "z": np.float32([2])},
    )


PAIR: Tensors = {"a": np.float32([0.5]), "b": objects(b"x", b"y").reshape(1, 2)}


def predict(inputs: Tensors, call: Call | None = None) -> Scenario:
    async def scenario(plane: DataPlane, lease: Lease) -> Any:
        return await plane.predict(lease, plane.signature(lease), inputs, call or Call())

    return scenario


def test_all_outputs_come_unless_some_are_named():
    model = pair()
    answer, _ = run(model, predict(PAIR))
    assert {name: value.tolist() for name, value in answer.items()} == {"y": [1], "z": [2]}
    answer, _ = run(model, predict(PAIR, Call(outputs=["z"])))
    assert list(answer) == ["z"]
    answer, _ = run(model, predict(PAIR, Call(outputs=[])))
    assert sorted(answer) == ["y", "z"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (
            {"a": PAIR["a"]},
            None,
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. "
            "Missing but required: {b}.",
        ),
        (
            {**PAIR, "c": PAIR["a"]},
            None,
            "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). Sent extra: {c}. "
            "Missing but required: {}.",
        ),
        (
            {"a": PAIR["a"], "c": PAIR["a"]},
            None,
            "Signature input alias: b(feed name: b:0) not found in request and no default value provided. Inputs "
            "expected to be in the request {a,c}, or default input alias set: ",
        ),
        ({**PAIR, "a": np.zeros(1)}, None, "Expects arg[0] to be float but double is provided"),
        ({**PAIR, "b": np.zeros((1, 2), "i4")}, None, "Expects arg[1] to be string but int32 is provided"),
        ({**PAIR, "a": np.zeros((1, 1), "f4")}, None, 'input "a" must have the shape [?], got [1, 1]'),
        ({**PAIR, "b": objects(b"x").reshape(1, 1)}, None, 'input "b" must have the shape [?,2], got [1, 1]'),
        (
            PAIR,
            ["y", "x"],
            "output tensor alias not found in signature: x Outputs expected to be in the set {y,z}.",
        ),
        (PAIR, ["y", "y"], "duplicate output tensor alias: y"),
    ],
)
def test_what_is_not_the_signatures_is_refused_in_tensorflow_servings_words(inputs, outputs, words):
    model = pair()
    assert refusal(model, predict(inputs, Call(outputs=outputs))) == (Code.INVALID_ARGUMENT, words)
    assert not model.asked


def test_an_unknown_signature_is_a_failed_precondition():
    async def scenario(plane: DataPlane, lease: Lease) -> None:
        plane.signature(lease, "x")

    assert refusal(pair(), scenario) == (Code.FAILED_PRECONDITION, 'Serving signature key "x" not found.')


def test_a_cancelled_request_holds_the_model_until_it_is_computed():
    model = pair()
    model.gate = threading.Event()

    async def scenario(plane: DataPlane, lease: Lease) -> None:
        asked = asyncio.ensure_future(plane.predict(lease, plane.signature(lease), PAIR))
        while not model.asked:
            await asyncio.sleep(0.002)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        lease.release()
        held = plane.manager.held  # type: ignore[attr-defined]
        held.close()
        assert not held.wait_until_unused(0)
        model.gate.set()
        while not held.wait_until_unused(0):
            await asyncio.sleep(0.002)

    run(model, scenario)


def test_time_in_the_model_is_counted_by_method():
    _, metrics = run(pair(), predict(PAIR))
    assert metrics.runtime_latency.count("m", "Predict", "TF1") == 1
    assert metrics.batch_runs.value() == 1


def test_answered_requests_go_to_the_log_with_what_was_sent_and_given():
    log = Log("m")
    _, metrics = run(pair(), predict(PAIR, Call(client_id="id-1", entrypoint="GRPC")), log)
    (entry,) = log.entries
    assert (entry.model, entry.version, entry.signature, entry.method, entry.api, entry.client_id) == (
        ("m", 3, "serving_default", "Predict", "GRPC", "id-1")
    )  # fmt: skip
    assert entry.inputs is PAIR
    assert entry.outputs["z"].tolist() == [2]
    assert metrics.logged.value("m", "OK") == 1


def test_what_is_kept_for_the_log_does_not_hold_the_whole_batch_in_memory():
    async def scenario(plane: DataPlane, lease: Lease) -> None:
        two = {"x": np.zeros(2, np.float32)}
        await asyncio.gather(*(plane.predict(lease, plane.signature(lease, "one"), two) for _ in range(2)))

    log = Log("m")
    model = Model(signature("one", {"x": FLOAT}, {"y": FLOAT}), answers={"y": np.arange(4, dtype=np.float32)})
    run(model, scenario, log)
    assert len(model.asked) == 1
    assert [entry.outputs["y"].tolist() for entry in log.entries] == [[0, 1], [2, 3]]
    assert [entry.outputs["y"].base for entry in log.entries] == [None, None]


def test_a_log_without_room_is_counted_and_one_of_another_model_is_left_alone():
    _, metrics = run(pair(), predict(PAIR), Log("m", has_room=False))
    assert metrics.log_dropped.value("m") == 1
    other = Log("other")
    run(pair(), predict(PAIR), other)
    assert not other.entries


def classifier(**answers: np.ndarray) -> Model:
    outputs = {name: FLOAT for name in answers}
    return Model(signature("serving_default", {"inputs": STRING}, outputs), answers=answers)


def ask(method: str, examples: Examples, name: str = "") -> Scenario:
    async def scenario(plane: DataPlane, lease: Lease) -> Any:
        return await getattr(plane, method)(lease, name, examples)

    return scenario


TWO = Examples([b"1", b"2"])
LABELS = objects(b"a", b"b", b"a", b"b").reshape(2, 2)
SCORES = np.float32([[0.25, 0.75], [1, 0]])


def test_classes_and_scores_are_paired():
    answer, metrics = run(classifier(classes=LABELS, scores=SCORES), ask("classify", TWO))
    assert answer == [[(b"a", 0.25), (b"b", 0.75)], [(b"a", 1), (b"b", 0)]]
    assert metrics.example_count.value("m") == 2
    assert metrics.runtime_latency.count("m", "Classify", "TF1") == 1


def test_classes_or_scores_alone_are_enough():
    assert run(classifier(classes=LABELS), ask("classify", TWO))[0][0] == [(b"a", 0.0), (b"b", 0.0)]
    assert run(classifier(scores=SCORES), ask("classify", TWO))[0][1] == [(b"", 1.0), (b"", 0.0)]


def test_the_context_stands_before_each_example():
    model = classifier(scores=SCORES)
    run(model, ask("classify", Examples([b"1", b"2"], b"c")))
    assert model.asked[0][1]["inputs"].tolist() == [b"c1", b"c2"]


@pytest.mark.parametrize("values", [np.float32([1.5, 2]), np.float32([[1.5], [2]])])
def test_a_regression_is_a_number_for_each_example(values):
    assert run(classifier(outputs=values), ask("regress", TWO))[0] == [1.5, 2.0]


@pytest.mark.parametrize(
    ("method", "answers", "words"),
    [
        ("classify", {"scores": SCORES[0]}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ("classify", {"scores": SCORES.astype("f8")}, "Expected scores Tensor of DT_FLOAT. Got: float64"),
        ("classify", {"classes": SCORES}, "Expected classes Tensor of DT_STRING. Got: float32"),
        ("classify", {"scores": SCORES[:1]}, "Expected scores output batch size of 2. Got: 1"),
        (
            "classify",
            {"classes": LABELS, "scores": SCORES[:, :1]},
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
        ("classify", {"scores": SCORES, "a": SCORES, "b": SCORES}, "Expected one or two output Tensors, found 3"),
        (
            "regress",
            {"outputs": SCORES},
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
        ),
        ("regress", {"outputs": np.float32([1])}, "Input batch size did not match output batch size: 2 vs. 1"),
        ("regress", {"outputs": np.zeros(2)}, "Expected output Tensor of DT_FLOAT.  Got: float64"),
        ("regress", {"a": SCORES, "b": SCORES}, "Expected one output Tensor."),
    ],
)
def test_outputs_that_are_no_classes_or_values_are_refused(method, answers, words):
    assert refusal(classifier(**answers), ask(method, TWO)) == (Code.INVALID_ARGUMENT, words)


def test_signatures_that_take_no_examples_are_refused():
    model = Model(signature("serving_default", {"x": FLOAT}, {"y": FLOAT}))
    assert refusal(model, ask("classify", TWO))[1].startswith(
        "No classification inputs found in SignatureDef: inputs {"
    )
    assert refusal(model, ask("regress", TWO))[1].startswith("No regression inputs found in SignatureDef: inputs {")
    assert refusal(pair(), ask("classify", TWO))[1] == "Expected one input Tensor."
    unnamed = Model(signature("serving_default", {"inputs": STRING}, {"y": FLOAT}))
    assert refusal(unnamed, ask("classify", TWO))[1].startswith(
        'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: '
    )
    assert refusal(unnamed, ask("regress", TWO))[1].startswith("No regression outputs found in SignatureDef: ")


def test_no_example_and_no_signature_are_refused():
    model = classifier(scores=SCORES)
    assert refusal(model, ask("classify", Examples([])))[1] == "Input is empty."
    assert refusal(model, ask("classify", TWO, "x"))[1] == "No signature was found with the name: x"


def both() -> Model:
    return Model(
        signature("c", {"inputs": STRING}, {"scores": FLOAT}),
        signature("serving_default", {"inputs": STRING}, {"outputs": FLOAT}),
        answers={"scores": SCORES, "outputs": np.float32([5, 6])},
    )


def multi(*tasks: tuple[str, str]) -> Scenario:
    async def scenario(plane: DataPlane, lease: Lease) -> Any:
        return await plane.multi_inference(lease, tasks, TWO)

    return scenario


def test_several_signatures_answer_the_same_examples_in_the_order_asked():
    answer, _ = run(both(), multi(("c", CLASSIFY), ("", REGRESS)))
    assert answer == [[[(b"", 0.25), (b"", 0.75)], [(b"", 1), (b"", 0)]], [5, 6]]


def test_several_signatures_are_one_entry_of_the_log():
    log = Log("m")
    _, metrics = run(both(), multi(("c", CLASSIFY), ("", REGRESS)), log)
    (entry,) = log.entries
    assert (entry.method, entry.signature, entry.version, entry.outputs) == ("MultiInference", "c", 3, {})
    assert entry.inputs["inputs"].tolist() == list(TWO.rows)
    assert [(task.signature, task.method) for task in entry.tasks] == [("c", CLASSIFY), ("serving_default", REGRESS)]
    assert [value.tolist() for task in entry.tasks for value in task.outputs.values()] == [
        [[0.25, 0.75], [1, 0]],
        [5, 6],
    ]
    assert metrics.logged.value("m", "OK") == 1


@pytest.mark.parametrize(
    ("tasks", "code", "words"),
    [
        ([("", REGRESS), ("serving_default", REGRESS)], 3, "Duplicate evaluation of signature: serving_default"),
        ([("x", REGRESS)], 3, "Requested signature not found in model graph: x"),
        (
            [("c", "tensorflow/serving/predict")],
            12,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    ],
)
def test_impossible_tasks_are_refused(tasks, code, words):
    assert refusal(both(), multi(*tasks)) == (code, words)


def test_a_model_that_is_not_there_is_not_found_and_not_known():
    async def scenario(plane: DataPlane, lease: Lease) -> None:
        assert plane.knows("m")
        assert not plane.knows("x")
        plane.lease(ModelRef("x"))

    assert refusal(pair(), scenario) == (Code.NOT_FOUND, "Servable not found for request: Latest(x)")
