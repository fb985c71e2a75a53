"""A SavedModel that could touch files, run Python or hide what it does is refused without being loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import allowed_ops, graph_ops
from serving.manifest import ManifestError

tf = pytest.importorskip("tensorflow")

TEXT = [tf.TensorSpec([None], tf.string, name="text")]


class Scaled(tf.Module):
    """Variables, so that the export has a saver, and a body that a test chooses."""

    def __init__(self, body: Callable[[Any], Any]) -> None:
        super().__init__()
        self.scale = tf.Variable(2.0)

        @tf.function(input_signature=TEXT)
        def serve(text: Any) -> dict[str, Any]:
            return {"length": tf.cast(tf.strings.length(body(text)), tf.float32) * self.scale}

        self.serve = serve


class Vocabulary(tf.Module):
    """A table filled from a text file that travels as an asset."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        rows = tf.lookup.TextFileIndex
        initializer = tf.lookup.TextFileInitializer(str(path), tf.string, rows.WHOLE_LINE, tf.int64, rows.LINE_NUMBER)
        self.table = tf.lookup.StaticHashTable(initializer, -1)

    @tf.function(input_signature=TEXT)
    def serve(self, text: Any) -> dict[str, Any]:
        return {"place": self.table.lookup(text)}


def export(module: tf.Module, folder: Path) -> Path:
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    saved = graph_ops._read(folder)
    change(saved.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def read_first(text: Any) -> Any:
    return tf.io.read_file(text[0])[None]


def call_python(text: Any) -> Any:
    return tf.numpy_function(lambda value: value, [text], tf.string)


def log(text: Any) -> Any:
    with tf.control_dependencies([tf.raw_ops.PrintV2(input=text[0], output_stream="file://out.txt")]):
        return tf.identity(text)


def list_files(text: Any) -> Any:
    return tf.raw_ops.MatchingFiles(pattern=text)


def hidden_in_a_dataset(text: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(text).map(tf.io.read_file).batch(1).take(1).get_single_element()


def decode_what_can_be(text: Any) -> Any:
    images = tf.data.Dataset.from_tensor_slices(text).map(
        lambda item: tf.io.decode_image(item, expand_animations=False)
    )
    sizes = images.ignore_errors().map(lambda image: tf.strings.as_string(tf.size(image)))
    padding = tf.data.Dataset.from_tensors("none")
    return sizes.concatenate(padding).batch(tf.cast(tf.size(text) + 1, tf.int64)).get_single_element()


def test_a_model_that_only_computes_is_allowed_with_its_saver_and_decoder(tmp_path: Path) -> None:
    folder = export(Scaled(decode_what_can_be), tmp_path)
    assert graph_ops.forbidden_ops(folder) == []
    assert {"SaveV2", "RestoreV2", "IgnoreErrorsDataset", "DecodeImage", "StringLength"} <= set(graph_ops.ops(folder))


@pytest.mark.parametrize(
    ("body", "op", "reason"),
    [
        (read_first, "ReadFile", "reads or writes files"),
        (call_python, "PyFunc", "runs Python code"),
        (log, "PrintV2", "writes to logs or files"),
        (list_files, "MatchingFiles", "reads or writes files"),
        (hidden_in_a_dataset, "ReadFile", "reads or writes files"),
    ],
)
def test_an_op_beyond_computing_is_found_with_its_place_and_reason(
    tmp_path: Path, body: Callable[[Any], Any], op: str, reason: str
) -> None:
    findings = graph_ops.forbidden_ops(export(Scaled(body), tmp_path))
    assert {finding.op for finding in findings} == {op}
    assert reason in findings[0].reason
    assert re.search(r"^node \S*\w+ of function __inference", findings[0].where)


def test_a_forbidden_op_that_no_signature_reaches_is_found(tmp_path: Path) -> None:
    module = Scaled(tf.identity)
    module.other = tf.function(read_first, input_signature=TEXT)
    assert [finding.op for finding in graph_ops.forbidden_ops(export(module, tmp_path))] == ["ReadFile"]


def test_restoring_variables_outside_the_saver_is_refused(tmp_path: Path) -> None:
    def restore(text: Any) -> Any:
        return tf.raw_ops.RestoreV2(prefix=text[0], tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.string])[0]

    findings = graph_ops.forbidden_ops(export(Scaled(restore), tmp_path))
    assert [(finding.op, finding.reason) for finding in findings] == [
        ("RestoreV2", "reads or writes files outside the model's own saving and loading")
    ]


def test_a_signature_that_calls_the_saver_is_refused(tmp_path: Path) -> None:
    folder = export(Scaled(tf.identity), tmp_path)

    def call_saver(meta_graph: Any) -> None:
        saver = next(node for node in meta_graph.graph_def.node if "traced_restore" in node.attr["f"].func.name)
        copy = meta_graph.graph_def.node.add()
        copy.CopyFrom(saver)
        copy.name = "served"
        meta_graph.signature_def["serving_default"].outputs["more"].name = "served:0"

    edit(folder, call_saver)
    assert "RestoreV2" in {finding.op for finding in graph_ops.forbidden_ops(folder)}


def test_a_vocabulary_in_the_models_assets_is_allowed(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("forest\nriver\n")
    folder = export(Vocabulary(words), tmp_path / "model")
    assert "InitializeTableFromTextFileV2" in graph_ops.ops(folder)
    assert graph_ops.forbidden_ops(folder) == []


def test_a_vocabulary_that_is_any_other_file_is_refused(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("forest\n")
    folder = export(Vocabulary(words), tmp_path / "model")

    def point_elsewhere(meta_graph: Any) -> None:
        placeholder = next(
            node for node in meta_graph.graph_def.node if node.op == "Placeholder" and "asset" in node.name
        )
        placeholder.op = "Const"
        placeholder.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("secrets.txt"))
        del meta_graph.asset_file_def[:]

    edit(folder, point_elsewhere)
    assert [finding.reason for finding in graph_ops.forbidden_ops(folder)] == [
        "reads a file that is not one of the model's own assets"
    ]


def test_an_asset_outside_the_models_folder_is_refused(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("forest\n")
    folder = export(Vocabulary(words), tmp_path / "model")

    def leave(meta_graph: Any) -> None:
        meta_graph.asset_file_def[0].filename = "../../secrets.txt"

    edit(folder, leave)
    assert graph_ops.forbidden_ops(folder)[0].reason == "lies outside the model's folder"


def test_a_custom_op_is_called_one(tmp_path: Path) -> None:
    folder = export(Scaled(tf.identity), tmp_path)

    def add(meta_graph: Any) -> None:
        meta_graph.graph_def.node.add(name="mine", op="MyCompanyOp")

    edit(folder, add)
    assert graph_ops.forbidden_ops(folder) == [
        graph_ops.Finding("MyCompanyOp", "node mine of the main graph", "is a custom op that TensorFlow does not have")
    ]


def test_a_second_form_of_the_graph_is_refused(tmp_path: Path) -> None:
    folder = export(Scaled(tf.identity), tmp_path)
    (folder / "saved_model.cpb").write_bytes(b"")
    assert [finding.op for finding in graph_ops.forbidden_ops(folder)] == ["saved_model.cpb"]


def test_a_folder_without_a_graph_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"must hold saved_model\.pb"):
        graph_ops.forbidden_ops(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 8)
    with pytest.raises(ManifestError, match="must be a SavedModel"):
        graph_ops.forbidden_ops(tmp_path)


def test_every_name_in_the_lists_is_an_op_of_tensorflow() -> None:
    named = allowed_ops.ALLOWED | allowed_ops.SAVER_ONLY | allowed_ops.ASSET_ONLY
    assert sorted(named - set(dir(tf.raw_ops))) == []


def test_no_allowed_op_is_also_refused() -> None:
    refused = [op for op in allowed_ops.ALLOWED for pattern, _ in allowed_ops.REFUSED if re.fullmatch(pattern, op)]
    assert refused == []


@pytest.mark.parametrize(
    "op",
    ["WriteFile", "TFRecordDatasetV2", "TextLineDataset", "EagerPyFunc", "GeneratorDataset", "SqlDataset", "RpcCall",
     "XlaCallModule", "DataServiceDatasetV4", "CacheDatasetV2", "SaveDatasetV2", "TFRecordReaderV2", "LMDBDataset",
     "CreateSummaryFileWriter", "CollectiveReduceV2", "Abort", "OneShotIterator", "ImmutableConst", "DistributedSave"],
)  # fmt: skip
def test_file_process_network_and_python_ops_have_a_reason(op: str) -> None:
    assert op not in allowed_ops.ALLOWED
    assert any(re.fullmatch(pattern, op) for pattern, _ in allowed_ops.REFUSED)


def test_an_allowed_model_still_answers_after_the_check(tmp_path: Path) -> None:
    folder = export(Scaled(tf.identity), tmp_path)
    assert graph_ops.forbidden_ops(folder) == []
    answer = tf.saved_model.load(str(folder)).signatures["serving_default"](text=tf.constant(["abc", ""]))
    np.testing.assert_allclose(answer["length"], [6.0, 0.0])
