"""Tiny models, made once per session, and a model of pure Python for tests that need none of TensorFlow.

Each fixture of a SavedModel gives a base path: a folder with a folder per version.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.model_server.servable import Signature, TensorInfo, Tensors
from tests.serving.model_server.managers import Server

FLOAT = 1  # tensorflow.DataType
ECHOED = (
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "string",
)


class FakeServable:
    """Answers `y = x + version` without TensorFlow; `gate`, when given, is waited for in `run`."""

    def __init__(self, name: str, version: int, gate: threading.Event | None = None) -> None:
        rows = TensorInfo(dtype=FLOAT, shape=(None,))
        self.name, self.version, self.gate = name, version, gate
        self.is_closed = False
        self.signatures: Mapping[str, Signature] = {
            "serving_default": Signature(
                name="serving_default",
                method_name="tensorflow/serving/predict",
                inputs={"x": rows},
                outputs={"y": rows},
                is_batchable=True,
            )
        }

    def run(self, signature: str, inputs: Tensors, outputs: Collection[str] | None = None) -> Tensors:
        assert not self.is_closed, "asked after it was unloaded"
        if self.gate is not None:
            self.gate.wait()
        return {"y": np.asarray(inputs["x"] + self.version, np.float32)}

    def signature_def_map(self) -> Any:
        from tensorflow_serving.apis import get_model_metadata_pb2

        return get_model_metadata_pb2.SignatureDefMap()

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def fake_servable() -> type[FakeServable]:
    """The class of a model without TensorFlow: `fake_servable(name, version, gate)`."""
    return FakeServable


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits until something holds; fails after 30 s."""

    def wait(holds: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end, "it does not become true"
            time.sleep(0.002)

    return wait


@pytest.fixture
def config_of() -> Callable[..., Any]:
    """Makes a `ModelServerConfig`: `config_of({"name": base_path})`, or text-format with further fields for each."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    def make(models: Mapping[str, Path], more: str = "") -> Any:
        listed = "".join(
            f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {more} }}'
            for name, path in models.items()
        )
        return text_format.Parse(f"model_config_list {{ {listed} }}", model_server_config_pb2.ModelServerConfig())

    return make


@pytest.fixture
def server(
    config_of: Callable[..., Any], until: Callable[[Callable[[], object]], None]
) -> Iterator[Callable[..., Server]]:
    """Starts managers over fake models: `server(**ManagerOptions)`; they stop in the end."""
    made: list[Server] = []

    def make(**options: Any) -> Server:
        made.append(Server(FakeServable, config_of, until, **options))
        return made[-1]

    yield make
    for one in made:
        for gate in one.gates.values():
            gate.set()
        one.manager.stop(10)


@pytest.fixture(scope="session")
def half_plus_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2, as TensorFlow Serving's example: `y = x / 2 + 2`, and `+ 3` in version 2.

    Signatures: `serving_default` and `tensorflow/serving/predict`, x float [batch] to y; `classify_x_to_y` and
    `regress_x_to_y`, which take tf.Examples with the float feature `x`; all as exported by TensorFlow 1, with their
    method names.
    """
    base = tmp_path_factory.mktemp("models") / "half_plus_two"
    for version, offset in ((1, 2.0), (2, 3.0)):
        save_half_plus(base / str(version), offset)
    return base


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, as exported by TensorFlow 1, with a table that is initialized from an asset file.

    `serving_default` takes tf.Examples with the int64 feature `id` (0, 1 or 2) and gives `classes` string [batch, 1]
    ("grass", "sand", "water") and `scores` float [batch, 1] (id / 2).
    """
    base = tmp_path_factory.mktemp("models") / "labelled"
    _save_labelled(base / "1", tmp_path_factory.mktemp("vocabulary") / "labels.txt")
    return base


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, by TensorFlow 2: `text` string [batch] to `upper` string [batch] and `bytes` int32 [batch]."""
    import tensorflow as tf

    class Text(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def answer(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"upper": tf.strings.upper(text), "bytes": tf.strings.length(text)}

    return _saved(tmp_path_factory, "text", Text(), {"serving_default": "answer"})


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, by TensorFlow 2: one signature per dtype of `ECHOED`, `x` [batch, …] to itself, `y`."""
    import tensorflow as tf

    echo = tf.Module()
    names = {}
    for name in ECHOED:
        spec = tf.TensorSpec(None, tf.as_dtype(name), name="x")
        setattr(echo, name, tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec]))
        names[name] = name
    return _saved(tmp_path_factory, "echo", echo, names)


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, by TensorFlow 2, for what goes wrong.

    `serving_default` divides: `a` and `b` int32 [batch] to `quotient`, an error where b is 0; `spin` computes for as
    many rounds as the largest of `rounds` int64 [batch] says, about a microsecond each, and gives them back as `done`;
    `total` adds up `x` float [batch] to one number, so it cannot be batched.
    """
    import tensorflow as tf

    pair = [tf.TensorSpec([None], tf.int32, name="a"), tf.TensorSpec([None], tf.int32, name="b")]

    class Work(tf.Module):
        @tf.function(input_signature=pair)
        def divide(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"quotient": a // b}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="rounds")])
        def spin(self, rounds: tf.Tensor) -> dict[str, tf.Tensor]:
            last = tf.reduce_max(rounds)
            (done,) = tf.while_loop(lambda i: i < last, lambda i: (i + 1,), (tf.constant(0, tf.int64),))
            return {"done": rounds + 0 * done}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def total(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"sum": tf.reduce_sum(x)}

    names = {"serving_default": "divide", "spin": "spin", "total": "total"}
    return _saved(tmp_path_factory, "work", Work(), names)


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory, half_plus_two: Path) -> Path:
    """Version 1 of half_plus_two with a `model.tflite` beside it: x float [batch] to y = x + 10."""
    import tensorflow as tf

    class Lite(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def answer(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x + 10.0}

    module = Lite()
    base = tmp_path_factory.mktemp("models") / "lite"
    shutil.copytree(half_plus_two / "1", base / "1")
    function = module.answer.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    (base / "1" / "model.tflite").write_bytes(converter.convert())
    return base


@pytest.fixture(scope="session")
def save_half_plus_two() -> Callable[[Path, float], None]:
    """Exports one more version of half_plus_two: `save(folder, offset)`."""
    return save_half_plus


def save_half_plus(folder: Path, offset: float) -> None:
    """Exports `y = x / 2 + offset` as TensorFlow 1 did."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        half = v1.get_variable("half", initializer=0.5)
        x = v1.placeholder(tf.float32, [None], name="x")
        y = tf.add(x * half, offset, name="y")
        examples = v1.placeholder(tf.string, [None], name="tf_example")
        parsed = v1.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})
        rows = tf.reshape(parsed["x"] * half + offset, [-1, 1])
        session.run(v1.global_variables_initializer())
        definitions = v1.saved_model.signature_def_utils
        predict = definitions.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": predict,
                "tensorflow/serving/predict": predict,
                "regress_x_to_y": definitions.regression_signature_def(examples, rows),
                "classify_x_to_y": definitions.classification_signature_def(examples, None, rows),
            },
        )
        builder.save()


def _save_labelled(folder: Path, vocabulary: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    vocabulary.write_text("grass\nsand\nwater\n", encoding="ascii")
    with tf.Graph().as_default(), v1.Session() as session:
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(vocabulary),
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            "unknown",
        )
        examples = v1.placeholder(tf.string, [None], name="tf_example")
        ids = tf.reshape(v1.parse_example(examples, {"id": tf.io.FixedLenFeature([], tf.int64)})["id"], [-1, 1])
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        classify = v1.saved_model.signature_def_utils.classification_signature_def(
            examples, table.lookup(ids), tf.cast(ids, tf.float32) / 2
        )
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={"serving_default": classify},
            main_op=v1.tables_initializer(),
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()


def _saved(factory: pytest.TempPathFactory, name: str, module: Any, signatures: Mapping[str, str]) -> Path:
    import tensorflow as tf

    base = factory.mktemp("models") / name
    functions = {signature: getattr(module, method) for signature, method in signatures.items()}
    tf.saved_model.save(module, str(base / "1"), signatures=functions)
    return base
