from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest

from applications.errors import ConfigError
from serving.model_server.batch_task import Answer, Task
from serving.model_server.batching import Batcher, BatchingParameters
from serving.model_server.errors import Code, ServingError
from serving.model_server.metrics import Metrics
from serving.model_server.servable import Signature, TensorInfo


class Rows:
    """Doubles `x` and remembers each batch; waits for `gate`; fails on negative values, or for one row too many."""

    def __init__(self, name: str = "m", *, gate: threading.Event | None = None, is_row_wise: bool = True) -> None:
        info = TensorInfo(dtype=1, shape=None)
        self.name, self.version, self.gate, self.is_row_wise = name, 1, gate, is_row_wise
        self.batches: list[np.ndarray] = []
        self.order: list[str] | None = None
        self.entered = threading.Event()
        self.signatures = {
            key: Signature(
                name=key, method_name="p", inputs={"x": info}, outputs={"y": info}, is_batchable=key == "rows"
            )
            for key in ("rows", "alone")
        }

    def run(self, signature: str, inputs: Any, outputs: Any = None) -> Any:
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        x = inputs["x"]
        self.batches.append(x)
        if self.order is not None:
            self.order.append(self.name)
        if x.dtype.kind == "f" and (x < 0).any():
            raise ServingError(Code.INVALID_ARGUMENT, "negative")
        if not self.is_row_wise:
            return {"y": np.float32([x.sum()])}
        return {"y": x + x}

    def signature_def_map(self) -> Any:
        raise NotImplementedError

    def close(self) -> None: ...


class Bench:
    """A batcher in the running loop, and what its tasks came to."""

    def __init__(self, **parameters: Any) -> None:
        parameters.setdefault("num_batch_threads", 1)
        self.loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        self.batcher = Batcher(BatchingParameters(**parameters), self.loop, self.metrics)
        self.released = 0

    def ask(self, servable: Rows, x: Any, *, signature: str = "rows", **more: Any) -> asyncio.Future[Any]:
        return self.start(servable, x, signature=signature, **more)[0]

    def start(
        self, servable: Rows, x: Any, *, signature: str = "rows", **more: Any
    ) -> tuple[asyncio.Future[Any], Task]:
        future: asyncio.Future[Any] = self.loop.create_future()

        def answer(result: Any, error: Exception | None) -> None:
            future.set_result(result) if error is None else future.set_exception(error)

        def release() -> None:
            self.released += 1

        x = x if isinstance(x, np.ndarray) else np.array(x, np.float32)
        task = Task(
            servable=servable, signature=servable.signatures[signature], inputs={"x": x}, answer=answer,
            release=release, **more,
        )  # fmt: skip
        self.batcher.submit(task)
        return future, task

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(4000):
            if holds():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it does not become true")


@pytest.fixture
def bench() -> Iterator[Callable[[Callable[[Bench], Awaitable[None]]], None]]:
    """Runs `scenario(bench)` in a loop: `bench(scenario, max_batch_size=4)`."""

    def run(scenario: Callable[[Bench], Awaitable[None]], **parameters: Any) -> None:
        async def main() -> None:
            made = Bench(**parameters)
            try:
                await scenario(made)
            finally:
                made.batcher.close()

        asyncio.run(asyncio.wait_for(main(), 60))

    return run


def test_requests_of_one_turn_are_computed_together_and_each_gets_its_rows(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        answers = await asyncio.gather(*(one.ask(model, [float(n)] * n) for n in (1, 2, 3)))
        assert [answer["y"].tolist() for answer in answers] == [[2], [4, 4], [6, 6, 6]]
        assert [len(batch) for batch in model.batches] == [6]
        assert one.released == 3

    bench(scenario)


def test_a_batch_is_no_larger_than_the_largest_allowed(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        await asyncio.gather(*(one.ask(model, [0.0, 0.0]) for _ in range(5)))
        assert [len(batch) for batch in model.batches] == [4, 4, 2]

    bench(scenario, max_batch_size=4)


def test_two_workers_share_what_waits(bench):
    async def scenario(one: Bench) -> None:
        gate = threading.Event()
        model = Rows(gate=gate)
        answers = [one.ask(model, [float(n)]) for n in range(8)]
        await one.until(lambda: not one.batcher.queues.waiting_rows())
        gate.set()
        await asyncio.gather(*answers)
        assert sorted(len(batch) for batch in model.batches) == [4, 4]

    bench(scenario, num_batch_threads=2)


def test_rows_of_other_shapes_are_computed_apart(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        a, b = await asyncio.gather(one.ask(model, np.ones((1, 2), "f4")), one.ask(model, np.ones((1, 3), "f4")))
        assert a["y"].shape == (1, 2)
        assert b["y"].shape == (1, 3)
        assert len(model.batches) == 2

    bench(scenario)


def test_rows_of_other_lengths_are_padded_where_that_is_asked_for(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        a, b = await asyncio.gather(one.ask(model, np.ones((1, 2), "f4")), one.ask(model, np.ones((2, 3), "f4")))
        assert a["y"].tolist() == [[2, 2, 0]]
        assert b["y"].tolist() == [[2, 2, 2], [2, 2, 2]]
        assert len(model.batches) == 1

    bench(scenario, pad_variable_length_inputs=True)


def test_batches_are_filled_up_to_an_allowed_size_and_the_filling_is_taken_off(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        answer = await one.ask(model, [5.0, 6.0, 7.0])
        assert answer["y"].tolist() == [10, 12, 14]
        assert [batch.tolist() for batch in model.batches] == [[5, 6, 7, 5]]

    bench(scenario, max_batch_size=8, allowed_batch_sizes=(2, 4, 8))


def test_sizes_are_counted_of_requests_as_sent_and_of_batches_as_run(bench):
    async def scenario(one: Bench) -> None:
        await asyncio.gather(one.ask(Rows(), [1.0, 2.0, 3.0]), one.ask(Rows("n"), [1.0] * 9))
        page = one.metrics.render().decode()
        session = ":tensorflow:serving:batching_session:"
        assert f"{session}input_batch_size_count{{}} 2" in page
        assert f"{session}input_batch_size_sum{{}} 12" in page
        assert f"{session}processed_batch_size_count{{}} 3" in page  # 3 filled up to 4, 8, and 1 to 2
        assert f"{session}processed_batch_size_sum{{}} 14" in page
        assert f"{session}wrapped_run_count{{}} 3" in page
        assert f'{session}queuing_latency_count{{thread_pool_name=""}} 2' in page

    bench(scenario, max_batch_size=8, allowed_batch_sizes=(2, 4, 8))


def test_a_request_of_more_rows_is_computed_in_parts(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        answer = await one.ask(model, np.arange(10, dtype="f4"))
        assert answer["y"].tolist() == list(range(0, 20, 2))
        assert [len(batch) for batch in model.batches] == [4, 4, 2]

    bench(scenario, max_batch_size=4)


def test_a_request_of_more_rows_is_refused_where_splitting_is_off(bench):
    async def scenario(one: Bench) -> None:
        with pytest.raises(ServingError, match="Task size 5 is larger than maximum input batch size 4") as error:
            one.ask(Rows(), [0.0] * 5)
        assert error.value.code is Code.INVALID_ARGUMENT

    bench(scenario, max_batch_size=4, enable_large_batch_splitting=False)


def test_neighbours_of_a_bad_request_are_answered(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        asked = [one.ask(model, [-1.0 if n == 3 else float(n)]) for n in range(8)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        bad = answers.pop(3)
        assert isinstance(bad, ServingError)
        assert str(bad) == "negative"
        assert [answer["y"].tolist() for answer in answers] == [[0], [2], [4], [8], [10], [12], [14]]

    bench(scenario)


def test_a_model_whose_outputs_are_no_rows_is_not_batched_again(bench):
    async def scenario(one: Bench) -> None:
        model = Rows(is_row_wise=False)
        for _ in range(2):
            answers = await asyncio.gather(*(one.ask(model, [n, n]) for n in (1.0, 2.0)))
            assert [answer["y"].tolist() for answer in answers] == [[2], [4]]
        assert [len(batch) for batch in model.batches] == [4, 2, 2, 2, 2]

    bench(scenario)


@pytest.mark.parametrize("parameters", [{"max_batch_size": 4}, {"max_batch_size": 8, "allowed_batch_sizes": (8,)}])
def test_a_request_whose_outputs_are_no_rows_is_answered_the_first_time_as_later(bench, parameters):
    async def scenario(one: Bench) -> None:
        model = Rows(is_row_wise=False)
        for _ in range(2):
            assert (await one.ask(model, [1.0] * 6))["y"].tolist() == [6]

    bench(scenario, **parameters)


def test_requests_whose_rows_change_one_another_are_computed_alone_and_whole(bench):
    class Centred(Rows):
        def run(self, signature: str, inputs: Any, outputs: Any = None) -> Any:
            return {"y": inputs["x"] - inputs["x"].mean()}

    async def scenario(one: Bench) -> None:
        model = Centred()
        answers = await asyncio.gather(*(one.ask(model, [n, n + 1.0, n + 5.0]) for n in (1.0, 10.0)))
        assert [answer["y"].tolist() for answer in answers] == [[-2, -1, 3]] * 2

    bench(scenario, batches_requests=False, max_batch_size=2)


def test_a_signature_that_is_not_batchable_runs_alone(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        await asyncio.gather(*(one.ask(model, [1.0], signature="alone") for _ in range(3)))
        assert [len(batch) for batch in model.batches] == [1, 1, 1]

    bench(scenario)


def test_scalars_and_empty_batches_go_to_the_model_as_they_are(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        scalar, empty = await asyncio.gather(one.ask(model, np.float32(4)), one.ask(model, np.zeros((0, 2), "f4")))
        assert scalar["y"] == 8
        assert empty["y"].shape == (0, 2)

    bench(scenario)


def test_rows_without_values_go_to_the_model_at_once_however_many_they_are(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        assert (await one.ask(model, np.zeros((100_000, 0), "f4")))["y"].shape == (100_000, 0)
        assert len(model.batches) == 1

    bench(scenario)


def test_a_full_queue_refuses_with_unavailable_and_429(bench):
    async def scenario(one: Bench) -> None:
        gate = threading.Event()
        model = Rows(gate=gate)
        first = one.ask(model, [1.0])
        await one.until(model.entered.is_set)
        waiting = [one.ask(model, [1.0]) for _ in range(4)]
        with pytest.raises(
            ServingError, match="The batch scheduling queue to which this task was submitted is full"
        ) as e:
            one.ask(model, [1.0])
        assert (e.value.code, e.value.http_status) == (Code.UNAVAILABLE, 429)
        other = one.ask(Rows("other"), [3.0])  # another model has a queue of its own
        gate.set()
        assert len(await asyncio.gather(first, *waiting, other)) == 6

    bench(scenario, max_batch_size=2, max_enqueued_batches=2)


def test_waiting_bytes_are_limited_over_all_models(bench):
    async def scenario(one: Bench) -> None:
        gate = threading.Event()
        model = Rows(gate=gate)
        first = one.ask(model, [1.0])
        await one.until(model.entered.is_set)
        second = one.ask(model, np.zeros(200, "f4"))
        with pytest.raises(ServingError, match="queue to which this task was submitted is full"):
            one.ask(Rows("other"), np.zeros(100, "f4"))
        gate.set()
        await asyncio.gather(first, second)
        await one.ask(Rows("other"), np.zeros(100, "f4"))

    bench(scenario, max_queue_bytes=1000)


def test_a_request_whose_bytes_can_never_wait_is_refused_though_nothing_waits(bench):
    async def scenario(one: Bench) -> None:
        with pytest.raises(
            ServingError, match=r"take 1004 bytes in memory, and --max_queue_bytes=1000 may wait in all"
        ) as error:
            one.ask(Rows(), np.zeros(251, "f4"))
        assert (error.value.code, error.value.http_status) == (Code.RESOURCE_EXHAUSTED, 413)
        assert (await one.ask(Rows(), np.zeros(250, "f4")))["y"].shape == (250,)

    bench(scenario, max_queue_bytes=1000)


def test_a_request_of_more_rows_than_may_wait_is_refused_where_the_queue_was_set_up(bench):
    async def scenario(one: Bench) -> None:
        with pytest.raises(ServingError, match="Task size 9 is larger than maximum input batch size 8") as error:
            one.ask(Rows(), [0.0] * 9)
        assert error.value.code is Code.INVALID_ARGUMENT  # UNAVAILABLE would have it sent again and again
        assert (await one.ask(Rows(), [1.0] * 8))["y"].tolist() == [2] * 8

    bench(scenario, max_batch_size=4, max_enqueued_batches=2, limits_requests=True)


def test_a_request_of_any_number_of_rows_is_computed_where_nobody_set_the_queue_up(bench):
    async def scenario(one: Bench) -> None:
        assert (await one.ask(Rows(), [1.0] * 9))["y"].tolist() == [2] * 9

    bench(scenario, max_batch_size=4, max_enqueued_batches=2)


def test_a_large_request_is_left_off_once_nobody_waits_for_it(bench):
    async def scenario(one: Bench) -> None:
        gate = threading.Event()
        model = Rows(gate=gate)
        _, task = one.start(model, np.zeros(12, "f4"))
        await one.until(model.entered.is_set)
        one.batcher.cancel(task)
        gate.set()
        assert (await one.ask(model, [1.0]))["y"].tolist() == [2]
        assert [len(batch) for batch in model.batches] == [4, 1]
        assert one.released == 2

    bench(scenario, max_batch_size=4)


def test_strings_that_wait_count_with_what_python_needs_for_each(bench):
    async def scenario(one: Bench) -> None:
        many = np.full(1000, b"", object)
        _, task = one.start(Rows(), many)
        assert task.bytes == 1000 * (8 + sys.getsizeof(b""))

    bench(scenario)


def test_a_request_past_its_deadline_is_answered_and_never_computed(bench):
    async def scenario(one: Bench) -> None:
        gate = threading.Event()
        model = Rows(gate=gate)
        first = one.ask(model, [1.0])
        await one.until(model.entered.is_set)
        late = one.ask(model, [2.0], deadline_s=one.loop.time() + 0.03)
        with pytest.raises(ServingError, match="Timed out waiting for notification") as error:
            await late
        assert error.value.code is Code.DEADLINE_EXCEEDED
        gate.set()
        await first
        await one.ask(model, [3.0])
        assert [batch.tolist() for batch in model.batches] == [[1], [3]]
        assert one.released == 3

    bench(scenario)


def test_a_deadline_passes_while_the_model_computes_and_the_model_stays_leased(bench):
    async def scenario(one: Bench) -> None:
        gate = threading.Event()
        model = Rows(gate=gate)
        with pytest.raises(ServingError, match="Timed out"):
            await one.ask(model, [1.0], deadline_s=one.loop.time() + 0.03)
        assert one.released == 0
        gate.set()
        await one.until(lambda: one.released == 1)

    bench(scenario)


def test_a_cancelled_request_is_not_computed_and_gives_back_its_place(bench):
    async def scenario(one: Bench) -> None:
        gate = threading.Event()
        model = Rows(gate=gate)
        first, running = one.start(model, [1.0])
        await one.until(model.entered.is_set)
        gone, task = one.start(model, [2.0])
        one.batcher.cancel(task)
        assert one.released == 1
        assert one.batcher.queues.waiting_rows() == {}
        one.batcher.cancel(running)
        assert one.released == 1  # a worker has it still
        gate.set()
        await one.until(lambda: one.released == 2)
        assert [batch.tolist() for batch in model.batches] == [[1]]
        assert not first.done()
        assert not gone.done()

    bench(scenario)


def test_models_take_turns(bench):
    async def scenario(one: Bench) -> None:
        gate, order = threading.Event(), []
        busy, quiet = Rows("busy", gate=gate), Rows("quiet", gate=gate)
        busy.order = quiet.order = order
        asked = [one.ask(busy, [0.0])]
        await one.until(busy.entered.is_set)
        asked += [one.ask(busy, [0.0, 0.0]) for _ in range(6)]
        asked += [one.ask(quiet, [0.0, 0.0]) for _ in range(2)]
        gate.set()
        await asyncio.gather(*asked)
        assert order[:5] == ["busy", "busy", "quiet", "busy", "quiet"]

    bench(scenario, max_batch_size=2)


def test_a_batch_timeout_waits_for_the_batch_to_fill(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        first = one.ask(model, [1.0])
        await asyncio.sleep(0.05)
        assert not model.batches
        rest = [one.ask(model, [1.0]) for _ in range(3)]
        await asyncio.gather(first, *rest)
        assert [len(batch) for batch in model.batches] == [4]

    bench(scenario, max_batch_size=4, batch_timeout_micros=20_000_000)


def test_a_batch_that_does_not_fill_is_computed_when_its_time_is_over(bench):
    async def scenario(one: Bench) -> None:
        model = Rows()
        await asyncio.gather(one.ask(model, [1.0]), one.ask(model, [1.0]))
        assert [len(batch) for batch in model.batches] == [2]

    bench(scenario, max_batch_size=4, batch_timeout_micros=30_000)


def test_results_are_shaped_once_per_request_with_a_memo_per_batch(bench):
    async def scenario(one: Bench) -> None:
        written: list[int] = []

        def shape(answer: Answer) -> list[float]:
            if "all" not in answer.memo:
                written.append(len(answer.tensors["y"]))
                answer.memo["all"] = answer.tensors["y"].tolist()
            return answer.memo["all"][answer.start : answer.stop]

        model = Rows()
        answers = await asyncio.gather(*(one.ask(model, [n, n], shape=shape) for n in (1.0, 2.0)))
        assert answers == [[2, 2], [4, 4]]
        assert written == [4]

    bench(scenario)


def test_one_request_that_cannot_be_shaped_leaves_its_neighbours_alone(bench):
    async def scenario(one: Bench) -> None:
        def refuse(answer: Answer) -> None:
            raise ServingError(Code.INVALID_ARGUMENT, "cannot be written")

        model = Rows()
        good, bad = await asyncio.gather(
            one.ask(model, [1.0]), one.ask(model, [2.0], shape=refuse), return_exceptions=True
        )
        assert good["y"].tolist() == [2]
        assert str(bad) == "cannot be written"

    bench(scenario)


def test_an_error_that_is_no_serving_error_is_internal_and_the_worker_lives(bench):
    async def scenario(one: Bench) -> None:
        broken, model = Rows("broken"), Rows()
        del broken.gate
        with pytest.raises(ServingError, match="^AttributeError: .*'gate'") as error:
            await one.ask(broken, [1.0])
        assert error.value.code is Code.INTERNAL
        assert (await one.ask(model, [1.0]))["y"].tolist() == [2]

    bench(scenario)


def test_what_waits_when_the_batcher_closes_is_refused():
    async def main() -> None:
        one, gate = Bench(), threading.Event()
        model = Rows(gate=gate)
        one.ask(model, [1.0])
        await one.until(model.entered.is_set)
        waiting = one.ask(model, [2.0])
        one.batcher.close()
        with pytest.raises(ServingError, match="the server is shutting down"):
            await waiting
        gate.set()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be at least 1, got 0"),
        ({"num_batch_threads": 0}, "num_batch_threads must be at least 1, got 0"),
        ({"batch_timeout_micros": -1}, "batch_timeout_micros must be 0 or more, got -1"),
        ({"max_batch_size": 8, "allowed_batch_sizes": (2, 4)}, r"end with max_batch_size=8, got \[2, 4\]"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (2, 2, 4)}, r"must rise .* got \[2, 2, 4\]"),
    ],
)
def test_parameters_out_of_range_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        BatchingParameters(**values)
