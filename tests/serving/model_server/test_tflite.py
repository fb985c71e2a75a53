from __future__ import annotations

import concurrent.futures

import numpy as np
import pytest

from serving.model_server.errors import Code, ServingError
from serving.model_server.servable import TensorInfo
from serving.model_server.tflite import FILE_NAME, TfliteServable


@pytest.fixture(scope="module")
def servable(lite):
    return TfliteServable("m", 1, lite / "1", 2)


def test_batches_of_any_size_are_answered(servable):
    for size in (1, 3, 2, 0):
        x = np.arange(size, dtype=np.float32)
        assert servable.run("serving_default", {"x": x})["y"].tolist() == (x + 10).tolist()


def test_the_signature_tells_names_types_and_the_free_batch(servable):
    signature = servable.signatures["serving_default"]

    assert signature.inputs == {"x": TensorInfo(dtype=1, shape=(None,))}
    assert list(signature.outputs) == ["y"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert servable.signature_def_map().signature_def["serving_default"].inputs["x"].dtype == 1


def test_more_threads_than_interpreters_get_their_own_answers(servable):
    def ask(value: int) -> float:
        return float(servable.run("serving_default", {"x": np.array([value], np.float32)})["y"][0])

    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        assert list(threads.map(ask, range(200))) == [value + 10 for value in range(200)]


def test_a_wrong_dtype_is_an_invalid_argument_and_the_interpreter_comes_back(servable):
    for _ in range(4):
        with pytest.raises(ServingError) as caught:
            servable.run("serving_default", {"x": np.array([1], np.int64)})
        assert caught.value.code is Code.INVALID_ARGUMENT
    assert servable.run("serving_default", {"x": np.array([1.0], np.float32)})["y"].tolist() == [11.0]


def test_a_model_without_signatures_is_asked_by_its_tensors(tmp_path):
    import tensorflow as tf

    network = tf.function(lambda x: x * 3.0, input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    graph = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()], tf.Module())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_trackable_obj", None)  # how conversions made models before signatures
        (tmp_path / FILE_NAME).write_bytes(graph.convert())
    servable = TfliteServable("m", 1, tmp_path, 1)
    (output,) = servable.signatures["serving_default"].outputs
    (name,) = servable.signatures["serving_default"].inputs

    for rows in (1, 4):
        x = np.full((rows, 2), 2.0, np.float32)
        assert servable.run("serving_default", {name: x})[output].tolist() == [[6.0, 6.0]] * rows


def test_ops_of_tensorflow_that_write_are_refused(tmp_path):
    import tensorflow as tf

    class Spy(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="x")])
        def answer(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            tf.raw_ops.WriteFile(filename=x, contents=x)
            return {"y": tf.strings.length(x)}

    module = Spy()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.answer.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / FILE_NAME).write_bytes(converter.convert())

    with pytest.raises(ServingError, match="a model may only compute, but .* calls FlexWriteFile") as caught:
        TfliteServable("m", 1, tmp_path, 1)
    assert caught.value.code is Code.FAILED_PRECONDITION


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 4 + b"TFL3" + b"\xff" * 40])
def test_a_file_that_is_no_model_does_not_load(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(ServingError) as caught:
        TfliteServable("m", 1, tmp_path, 1)
    assert caught.value.code is Code.INVALID_ARGUMENT
