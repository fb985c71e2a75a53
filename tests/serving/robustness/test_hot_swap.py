"""A hundred versions one after the other under load: no request fails, and memory does not grow with the versions."""

from __future__ import annotations

import collections
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, predict_pb2

from serving.versions import ModelFolder
from tests.serving.robustness.servers import PATIENCE_S, Process, Wire, get, models_file, post

pytestmark = pytest.mark.slow

SWAPS, WARM_SWAPS = 100, 10
CLIENTS = 2  # of each transport
MAX_GROWTH_MB = 100.0  # over the swaps after the first ones
_LOAD_S = 120.0  # a version may take, beside all that load
_ANSWERS = {0: b'{"predictions": [3.0]}', 1: b'{"predictions": [4.0]}'}  # by the parity of a version's number
_LOG = logging.getLogger(__name__)


class Load:
    """Clients that ask without a pause; what they saw."""

    def __init__(self, process: Process) -> None:
        self.failures: list[str] = []
        self.versions: set[int] = set()
        self.counts: collections.Counter = collections.Counter()
        self._process = process
        self._is_over = threading.Event()
        kinds = (self._rest, self._grpc)
        self._threads = [threading.Thread(target=self._keep, args=(kind,)) for kind in kinds for _ in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _keep(self, ask: Callable[[], None]) -> None:
        try:
            ask()
        except Exception as error:
            self.failures.append(repr(error))

    def _rest(self) -> None:
        data = post("/v1/models/half:predict", b'{"instances": [2.0]}')
        with Wire(self._process.port) as wire:
            while not self._is_over.is_set():
                status, body = wire.ask(data)
                self.counts["REST", status] += 1
                if body not in _ANSWERS.values():
                    self.failures.append(f"{status} {body!r}")

    def _grpc(self) -> None:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half"
        request.inputs["x"].dtype = 1
        request.inputs["x"].tensor_shape.dim.add(size=1)
        request.inputs["x"].float_val.append(2.0)
        with grpc.insecure_channel(f"127.0.0.1:{self._process.grpc_port}") as channel:
            call = channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict",
                request_serializer=predict_pb2.PredictRequest.SerializeToString,
                response_deserializer=predict_pb2.PredictResponse.FromString,
            )
            while not self._is_over.is_set():
                answer = call(request, timeout=PATIENCE_S)
                version = answer.model_spec.version.value
                self.counts["gRPC", 200] += 1
                self.versions.add(version)
                if answer.outputs["y"].float_val[0] != 3.0 + version % 2:
                    self.failures.append(f"version {version} answered {answer.outputs['y'].float_val[0]}")


def test_a_hundred_versions_are_swapped_in_without_a_failed_request(half_plus_two, tmp_path):
    folder = ModelFolder(destination=tmp_path / "serving", model="half")
    published = [_publish(folder, half_plus_two)]
    flags = [models_file(tmp_path / "models", {"half": folder.path}), "--file_system_poll_wait_seconds=1"]
    with Process(tmp_path, *flags) as process, Load(process.listening()) as load:
        for swap in range(WARM_SWAPS + SWAPS):
            if swap == WARM_SWAPS:
                before_mb, before_files, before_threads = _usage(process)
            published.append(_publish(folder, half_plus_two))
            if swap % 2:
                _have_it_look(process, folder)
            _wait_until_answered_by(process, published[-1])
            folder.remove_older(keep=2)
            assert load.failures == []
        after_mb, after_files, after_threads = _usage(process)
        _LOG.info(
            "%s; %d versions seen; resident: %.0f MB before, %.0f MB after",
            dict(load.counts), len(load.versions), before_mb, after_mb,
        )  # fmt: skip
    assert load.failures == []
    assert set(load.counts) == {("REST", 200), ("gRPC", 200)}
    assert min(load.counts.values()) > 10 * SWAPS
    assert len(load.versions & set(published)) > 0.9 * SWAPS
    assert after_mb < before_mb + MAX_GROWTH_MB
    assert after_files <= before_files + 4
    assert after_threads <= before_threads + 4


def test_a_broken_version_takes_no_traffic_and_the_next_good_one_does(half_plus_two, tmp_path):
    folder = ModelFolder(destination=tmp_path / "serving", model="half")
    first = _publish(folder, half_plus_two)
    flags = [models_file(tmp_path / "models", {"half": folder.path}), "--file_system_poll_wait_seconds=1"]
    with Process(tmp_path, *flags, "--max_num_load_retries=0") as process, Load(process.listening()) as load:
        for _ in range(5):
            broken = folder.publish(lambda incoming, _: (incoming / "saved_model.pb").write_bytes(b"\xff" * 1000))
            _wait_for_state(process, broken, b'"END"')
            assert load.failures == []
            good = _publish(folder, half_plus_two)
            _wait_until_answered_by(process, good)
        status, body = _status(process, broken)
        assert status == 200
        assert b'"error_code": "OK"' not in body
    assert load.failures == []
    assert broken not in load.versions
    assert {first, good} <= load.versions


def _publish(folder: ModelFolder, models: Path) -> int:
    """Publishes version 1 of the model under even numbers and version 2 under odd ones, so that answers tell."""

    def write(incoming: Path, version: int) -> None:
        shutil.copytree(models / str(1 + version % 2), incoming, dirs_exist_ok=True)

    return folder.publish(write)


def _have_it_look(process: Process, folder: ModelFolder) -> None:
    """Sends the configuration that holds: the folder is looked at now, not when the second is over."""
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="half", base_path=str(folder.path), model_platform="tensorflow")
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
        answer = model_management_pb2.ReloadConfigResponse.FromString(call(request.SerializeToString(), timeout=20))
    assert answer.status.error_code == 0


def _status(process: Process, version: int) -> tuple[int, bytes]:
    with Wire(process.port) as wire:
        return wire.ask(get(f"/v1/models/half/versions/{version}"))


def _wait_until_answered_by(process: Process, version: int) -> None:
    _wait_for_state(process, version, b'"AVAILABLE"')


def _wait_for_state(process: Process, version: int, state: bytes) -> None:
    end_s = time.monotonic() + _LOAD_S
    while state not in (seen := _status(process, version))[1]:
        assert time.monotonic() < end_s, (version, seen, process.words()[-2000:])
        time.sleep(0.02)


def _usage(process: Process) -> tuple[float, int, int]:
    threads = len(list(Path(f"/proc/{process.process.pid}/task").iterdir()))
    return process.resident_mb(), process.open_files(), threads
