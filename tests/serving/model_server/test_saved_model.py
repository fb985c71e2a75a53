from __future__ import annotations

import concurrent.futures
import shutil
from pathlib import Path

import numpy as np
import pytest

from serving.model_server.errors import Code, ServingError
from serving.model_server.saved_model import Runtime, SavedModelServable
from serving.model_server.servable import TensorInfo


def load(base: Path, version: int = 1, runtime: Runtime | None = None) -> SavedModelServable:
    return SavedModelServable("m", version, base / str(version), runtime or Runtime())


def examples(**features: list[float] | list[int]) -> np.ndarray:
    import tensorflow as tf

    made = []
    for values in zip(*features.values(), strict=True):
        feature = {
            name: tf.train.Feature(
                **(
                    {"float_list": tf.train.FloatList(value=[value])}
                    if isinstance(value, float)
                    else {"int64_list": tf.train.Int64List(value=[value])}
                )
            )
            for name, value in zip(features, values, strict=True)
        }
        made.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return np.array(made, object)


def test_a_model_of_tensorflow_1_answers_by_all_its_signatures(half_plus_two):
    servable = load(half_plus_two)
    x = np.array([1.0, 2.0, 5.0], np.float32)

    assert servable.run("serving_default", {"x": x})["y"].tolist() == [2.5, 3.0, 4.5]
    rows = examples(x=[1.0, 4.0])
    assert servable.run("regress_x_to_y", {"inputs": rows})["outputs"].tolist() == [[2.5], [4.0]]
    assert servable.run("classify_x_to_y", {"inputs": rows})["scores"].tolist() == [[2.5], [4.0]]
    assert servable.signatures["regress_x_to_y"].method_name == "tensorflow/serving/regress"


def test_versions_of_one_model_do_not_mix(half_plus_two):
    first, second = load(half_plus_two, 1), load(half_plus_two, 2)
    x = np.array([2.0], np.float32)

    assert first.run("serving_default", {"x": x})["y"].tolist() == [3.0]
    assert second.run("serving_default", {"x": x})["y"].tolist() == [4.0]


def test_tables_are_filled_from_the_assets_of_a_model(labelled):
    answer = load(labelled).run("serving_default", {"inputs": examples(id=[2, 0])})

    assert answer["classes"].tolist() == [[b"water"], [b"grass"]]
    assert answer["scores"].tolist() == [[1.0], [0.0]]


def test_strings_come_back_as_bytes(text):
    answer = load(text).run("serving_default", {"text": np.array([b"reef", "ä".encode(), b"\x00\xff"], object)})

    assert answer["upper"].dtype == object
    assert answer["upper"].tolist() == [b"REEF", "ä".encode(), b"\x00\xff"]
    assert answer["bytes"].tolist() == [4, 2, 2]


def test_only_the_outputs_that_are_asked_for_come_back(text):
    servable = load(text)

    answer = servable.run("serving_default", {"text": np.array([b"reef"], object)}, ["bytes"])

    assert {name: value.tolist() for name, value in answer.items()} == {"bytes": [4]}
    assert servable.run("serving_default", {"text": np.array([b"a"], object)}, {"bytes", "upper"}).keys() == {
        "bytes",
        "upper",
    }


def test_sets_of_outputs_beyond_the_limit_share_one_plan(text, monkeypatch):
    monkeypatch.setattr("serving.model_server.saved_model._MAX_SELECTIONS", 1)
    servable = load(text)

    for name, value in (("upper", [b"A"]), ("bytes", [1])):
        answer = servable.run("serving_default", {"text": np.array([b"a"], object)}, [name])
        assert {key: array.tolist() for key, array in answer.items()} == {name: value}


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("float32", np.array([[1.5, np.nan], [np.inf, -0.0]], "f4")),
        ("float64", np.array([1e300], "f8")),
        ("int8", np.array([-128], "i1")),
        ("int64", np.array([-(2**63)], "i8")),
        ("uint64", np.array([2**64 - 1], "u8")),
        ("bool", np.array([True, False])),
        ("string", np.array([[b"a"], [b""]], object)),
    ],
)
def test_every_dtype_passes_unchanged(echo, signature, values):
    back = load(echo).run(signature, {"x": values})["y"]

    assert back.dtype == values.dtype
    assert np.array_equal(back, values, equal_nan=values.dtype.kind == "f")


def test_a_scalar_string_comes_back_as_an_array(echo):
    back = load(echo).run("string", {"x": np.array(b"ABC", object)})["y"]
    assert (back.dtype, back.shape, back.item()) == (object, (), b"ABC")


def test_arrays_that_are_read_only_or_strided_are_taken(echo):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    values.flags.writeable = False

    assert load(echo).run("float32", {"x": values[:, ::2]})["y"].tolist() == [[0, 2], [3, 5]]


def test_a_model_that_cannot_compute_tells_tensorflows_words(work):
    with pytest.raises(ServingError, match="nteger division by zero") as caught:
        load(work).run("serving_default", {"a": np.array([1], np.int32), "b": np.array([0], np.int32)})

    assert caught.value.code is Code.INVALID_ARGUMENT
    assert "Traceback" not in str(caught.value)


def test_a_picture_where_examples_are_wanted_is_told_in_tensorflows_words_too(labelled):
    picture = np.array([b"\xff\xd8\xff\xe0JFIF" * 100], object)
    with pytest.raises(ServingError, match=r"^Could not parse example input, value: '.*JFIF.*…$") as caught:
        load(labelled).run("serving_default", {"inputs": picture})

    assert caught.value.code is Code.INVALID_ARGUMENT
    assert len(str(caught.value)) < 1000


def test_an_array_of_another_dtype_is_an_invalid_argument(work):
    with pytest.raises(ServingError) as caught:
        load(work).run("serving_default", {"a": np.array([1.0]), "b": np.array([1], np.int32)})

    assert caught.value.code is Code.INVALID_ARGUMENT


def test_shapes_and_batchability_are_those_of_the_signature(half_plus_two, work, echo):
    signature = load(half_plus_two).signatures["serving_default"]
    others = load(work).signatures

    assert signature.inputs == {"x": TensorInfo(dtype=1, shape=(None,))}
    assert signature.outputs == {"y": TensorInfo(dtype=1, shape=(None,))}
    assert signature.is_batchable
    assert others["serving_default"].is_batchable
    assert not others["total"].is_batchable
    assert load(echo).signatures["float32"].inputs["x"].shape is None
    assert not load(echo).signatures["float32"].is_batchable


def test_metadata_holds_the_start_up_function_that_cannot_be_asked(text):
    servable = load(text)

    assert set(servable.signatures) == {"serving_default"}
    told = servable.signature_def_map().signature_def
    assert set(told) == {"serving_default", "__saved_model_init_op"}
    assert told["serving_default"].inputs["text"].dtype == 7
    assert told["serving_default"].method_name == "tensorflow/serving/predict"


def test_threads_get_their_own_answers(half_plus_two):
    servable = load(half_plus_two)

    def ask(value: int) -> float:
        return float(servable.run("serving_default", {"x": np.array([value], np.float32)})["y"][0])

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(400)))

    assert answers == [value / 2 + 2 for value in range(400)]


def test_a_folder_without_a_model_is_not_found(tmp_path):
    with pytest.raises(
        ServingError, match=r"Could not find SavedModel .pb or .pbtxt at supplied export directory"
    ) as caught:
        SavedModelServable("m", 1, tmp_path, Runtime())

    assert caught.value.code is Code.NOT_FOUND


def test_a_tag_that_is_not_there_is_told(half_plus_two):
    with pytest.raises(ServingError, match="gpu") as caught:
        load(half_plus_two, runtime=Runtime(tags=("serve", "gpu")))

    assert caught.value.code is Code.INVALID_ARGUMENT


def test_damaged_variables_do_not_load(half_plus_two, tmp_path):
    shutil.copytree(half_plus_two / "1", tmp_path / "1")
    (tmp_path / "1" / "variables" / "variables.data-00000-of-00001").write_bytes(b"")

    with pytest.raises(ServingError):
        SavedModelServable("m", 1, tmp_path / "1", Runtime())
