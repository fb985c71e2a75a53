from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from serving import manifest, model_json
from serving.model_server import loading
from serving.model_server.errors import Code, ServingError
from serving.model_server.events import WarmUp
from serving.model_server.loading import Loader, LoadOptions
from serving.model_server.tflite import TfliteServable
from serving.model_server.warm_up import FILE, replay, touch


@pytest.fixture
def version(half_plus_two: Path, tmp_path: Path) -> Path:
    """A copy of half_plus_two's version 1 that a test may spoil."""
    return Path(shutil.copytree(half_plus_two / "1", tmp_path / "1"))


def answer(servable) -> list[float]:
    return servable.run("serving_default", {"x": np.array([2.0], np.float32)})["y"].tolist()


def write_model_json(folder: Path) -> None:
    model_json.ModelJson(
        model="m",
        version=1,
        application="test/m",
        classes=(),
        configuration={},
        metrics={},
        verdict={},
        data={},
        files=manifest.digests(folder),
    ).write(folder)


def write_requests(folder: Path, *logs) -> None:
    import tensorflow as tf

    (folder / FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for log in logs:
            writer.write(log if isinstance(log, bytes) else log.SerializeToString())


def predict_log(value: float = 2.0, name: str = "x", signature: str = "", output: str = ""):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto([value], tf.float32))
    if output:
        request.output_filter.append(output)
    return log


def example_logs():
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    feature = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    logs = [prediction_log_pb2.PredictionLog() for _ in range(3)]
    for kind, log in (("classify", logs[0].classify_log), ("regress", logs[1].regress_log)):
        log.request.model_spec.signature_name = f"{kind}_x_to_y"
        log.request.input.example_list.examples.append(example)
    request = logs[2].multi_inference_log.request
    request.input.example_list_with_context.context.CopyFrom(example)
    request.input.example_list_with_context.examples.append(tf.train.Example())
    for kind in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{kind}")
        task.model_spec.signature_name = f"{kind}_x_to_y"
    return logs


def test_a_version_with_a_true_manifest_loads(version):
    write_model_json(version)

    assert answer(Loader(LoadOptions(is_manifest_required=True))("m", 1, version)) == [3.0]


def test_a_version_that_was_changed_after_it_was_pushed_does_not_load(version):
    write_model_json(version)
    data = next((version / "variables").glob("*.data*"))
    data.write_bytes(bytes(reversed(data.read_bytes())))

    with pytest.raises(ServingError, match=r"variables.data.* has changed \(SHA-256") as caught:
        Loader()("m", 1, version)
    assert caught.value.code is Code.DATA_LOSS


def test_a_version_without_a_manifest_is_refused_where_one_is_required(version):
    with pytest.raises(ServingError, match="--require_manifest: a version must hold model.json") as caught:
        Loader(LoadOptions(is_manifest_required=True))("m", 1, version)

    assert caught.value.code is Code.FAILED_PRECONDITION


def test_a_model_that_writes_files_is_refused_before_it_is_loaded(tmp_path):
    import tensorflow as tf

    class Spy(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="x")])
        def answer(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            tf.io.write_file(str(tmp_path / "spied"), x)
            return {"y": x}

    tf.saved_model.save(Spy(), str(tmp_path / "1"), signatures=Spy().answer)

    with pytest.raises(ServingError, match="a model may only compute, but in .*: WriteFile") as caught:
        Loader()("m", 1, tmp_path / "1")
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert not (tmp_path / "spied").exists()


@pytest.mark.parametrize(("content", "code"), [(None, Code.NOT_FOUND), (b"\xff\xff", Code.INVALID_ARGUMENT)])
def test_a_folder_without_a_whole_model_does_not_load(tmp_path, content, code):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)

    with pytest.raises(ServingError, match="saved_model.pb") as caught:
        Loader()("m", 1, tmp_path)
    assert caught.value.code is code


def test_a_version_larger_than_free_memory_is_refused(version, monkeypatch):
    monkeypatch.setattr(loading, "_free_bytes", lambda: 1000)

    with pytest.raises(ServingError, match=r"Insufficient resources to load servable \{name: m version: 7\}") as caught:
        Loader()("m", 7, version)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


def test_a_version_needs_a_fifth_more_memory_than_its_files_have_bytes(version, monkeypatch):
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    monkeypatch.setattr(loading, "_free_bytes", lambda: size * 1.2 + 1)
    assert answer(Loader()("m", 1, version)) == [3.0]

    monkeypatch.setattr(loading, "_free_bytes", lambda: size * 1.2 - 1)
    with pytest.raises(ServingError, match="Insufficient resources"):
        Loader()("m", 1, version)


def test_free_memory_is_read_in_bytes():
    free = loading._free_bytes()

    assert free is None or 10e6 < free < 1e15


def test_all_kinds_of_warm_up_requests_are_answered_before_the_first_client(version):
    write_requests(version, predict_log(), predict_log(output="y"), *example_logs())
    events = []

    servable = Loader(LoadOptions(warm_up_iterations=2), events.append)("m", 1, version)

    assert answer(servable) == [3.0]
    (event,) = events
    assert isinstance(event, WarmUp)
    assert (event.model, event.path, event.records, event.error) == ("m", version, 5, None)


@pytest.mark.parametrize(
    ("made", "text", "code"),
    [
        ({"name": "z"}, "Missing but required|not found in request", Code.INVALID_ARGUMENT),
        ({"signature": "other"}, 'Serving signature key "other" not found.', Code.FAILED_PRECONDITION),
        ({"output": "z"}, "output tensor alias not found in signature: z", Code.INVALID_ARGUMENT),
        ({"signature": "regress_x_to_y", "name": "inputs"}, "string but float is provided", Code.INVALID_ARGUMENT),
    ],
)
def test_a_warm_up_request_that_fails_fails_the_load(version, made, text, code):
    write_requests(version, predict_log(), predict_log(**made))
    events = []

    with pytest.raises(ServingError, match=text) as caught:
        Loader(on_event=events.append)("m", 1, version)
    assert caught.value.code is code
    assert events[0].error is caught.value


def test_warm_up_requests_that_cannot_be_replayed_are_told(version):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    write_requests(version, log)

    with pytest.raises(ServingError, match="Unsupported log_type for warmup: session_run_log") as caught:
        Loader()("m", 1, version)
    assert caught.value.code is Code.UNIMPLEMENTED


def test_a_thousand_warm_up_requests_are_the_most(version):
    write_requests(version, *[predict_log()] * 1000)
    Loader()("m", 1, version)
    write_requests(version, *[predict_log()] * 1001)

    with pytest.raises(ServingError, match=r"Number of warmup records exceeds the maximum \(1000\) at "):
        Loader()("m", 1, version)


def test_a_warm_up_file_that_is_no_tfrecord_is_told(version):
    (version / FILE).parent.mkdir()
    (version / FILE).write_bytes(b"not a record at all")

    with pytest.raises(ServingError, match="Please verify your warmup data is in TFRecord format") as caught:
        Loader()("m", 1, version)
    assert caught.value.code is Code.DATA_LOSS


def test_a_warm_up_record_that_is_no_request_is_told(version):
    write_requests(version, b"\xff\xff\xff")

    with pytest.raises(ServingError, match="Failed to parse warmup record"):
        Loader()("m", 1, version)


def test_each_warm_up_request_is_replayed_as_often_as_is_asked_for(fake_servable, tmp_path):
    servable, seen = fake_servable("m", 1), []
    servable.run = lambda signature, inputs, outputs=None: seen.append(inputs["x"].tolist())
    write_requests(tmp_path, predict_log(2.0), predict_log(5.0))

    assert replay(servable, tmp_path, 3) == 2
    assert seen == [[2.0]] * 3 + [[5.0]] * 3


def test_every_batchable_signature_is_run_once_on_no_rows(fake_servable):
    servable = fake_servable("m", 1)
    seen = []
    servable.run = lambda signature, inputs, outputs=None: seen.append(
        (signature, inputs["x"].shape, inputs["x"].dtype)
    )

    touch(servable)

    assert seen == [("serving_default", (0,), np.float32)]


def test_a_model_that_cannot_answer_no_rows_still_loads(tmp_path):
    import tensorflow as tf

    class Picky(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def answer(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x - tf.gather(x, 0)}

    module = Picky()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.answer)

    servable = Loader()("m", 1, tmp_path / "1")

    assert servable.run("serving_default", {"x": np.array([3.0, 5.0], np.float32)})["y"].tolist() == [0, 2]


def test_warm_up_can_be_left_out(version):
    write_requests(version, predict_log(name="z"))
    events = []

    assert answer(Loader(LoadOptions(is_warm_up_enabled=False), events.append)("m", 1, version)) == [3.0]
    assert events == []


def test_a_tflite_model_is_preferred_only_when_asked_for(lite):
    saved = Loader()("m", 1, lite / "1")
    preferred = Loader(LoadOptions(prefers_tflite=True))("m", 1, lite / "1")

    assert answer(saved) == [3.0]
    assert isinstance(preferred, TfliteServable)
    assert answer(preferred) == [12.0]


def test_without_a_tflite_model_the_saved_model_answers(version):
    assert answer(Loader(LoadOptions(prefers_tflite=True))("m", 1, version)) == [3.0]


def test_a_vocabulary_among_the_assets_of_an_export_by_tensorflow_1_is_allowed(labelled):
    loading.check_ops(labelled / "1")


def test_a_vocabulary_outside_the_assets_of_an_export_by_tensorflow_1_is_refused(labelled, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    folder = shutil.copytree(labelled / "1", tmp_path / "1")
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    saved.meta_graphs[0].collection_def.pop("saved_model_assets")
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(ServingError, match="reads a file that is not one of the model's own assets"):
        loading.check_ops(folder)
