import dataclasses
import hashlib
import logging
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.model_server import log_files
from serving.model_server.example_methods import CLASSIFY, REGRESS
from serving.model_server.log_entries import Inference
from serving.model_server.log_files import join_corrections, read_requests
from serving.model_server.metrics import Metrics
from serving.model_server.request_log import Answered, LogSettings, RequestLog

IMAGES = [b"jpeg one", b"jpeg two"]


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def answered(number=0, **more):
    """A request for two images, of which the second could not be read."""
    values = {
        "model": "landcover",
        "version": 7,
        "signature": "predict_image",
        "method": "Predict",
        "api": "GRPC",
        "inputs": {"image": strings(*IMAGES)},
        "outputs": {
            "label": strings(b"Forest", b""),
            "score": np.float32([0.75, 0]),
            "reason": strings(b"", b"not a JPEG"),
            "probabilities": np.float32([[0.75, 0.25], [0, 0]]),
        },
        "client_id": f"camera-{number}",
        "latency_s": 0.012,
        "time_s": 1_760_000_000.5 + number,
    }
    return Answered(**{**values, **more})


def records(folder):
    """All entries of the record files, in the order of their names."""
    paths = sorted(str(path) for path in folder.glob("*.tfrecord"))
    return [
        prediction_log_pb2.PredictionLog.FromString(raw) for raw in tf.data.TFRecordDataset(paths).as_numpy_iterator()
    ]


def written(folder, *entries, **settings):
    """Writes entries, and returns the log after it has been closed."""
    log = RequestLog(LogSettings(folder=folder, **settings))
    for entry in entries:
        log.record(entry)
    log.close()
    return log


def test_the_table_has_a_line_per_item_with_the_answer_and_the_digest_of_the_file(tmp_path):
    written(tmp_path, answered())
    first, second = read_requests(tmp_path).to_pylist()
    assert (first["id"], first["row"], first["rows"]) == ("camera-0", 0, 2)
    assert (first["model"], first["version"], first["signature"]) == ("landcover", 7, "predict_image")
    assert (first["label"], first["score"], first["reason"]) == ("Forest", 0.75, "")
    assert (second["label"], second["reason"], second["row"]) == ("", "not a JPEG", 1)
    assert [one["input_sha256"] for one in (first, second)] == [hashlib.sha256(image).hexdigest() for image in IMAGES]
    assert first["latency_ms"] == pytest.approx(12)
    assert first["time_utc"].isoformat() == "2025-10-09T08:53:20.500000+00:00"
    assert (first["method"], first["api"], first["value"]) == ("Predict", "GRPC", None)


def test_the_records_are_prediction_logs_that_hold_everything(tmp_path):
    written(tmp_path, answered())
    (log,) = records(tmp_path)
    assert log.log_metadata.timestamp_secs == 1_760_000_000
    assert log.log_metadata.request_origin == "camera-0"
    assert log.log_metadata.model_spec.version.value == 7
    request, response = log.predict_log.request, log.predict_log.response
    assert request.model_spec.signature_name == "predict_image"
    assert tf.make_ndarray(request.inputs["image"]).tolist() == IMAGES
    assert tf.make_ndarray(response.outputs["probabilities"]).tolist() == [[0.75, 0.25], [0, 0]]


def test_examples_are_logged_with_labels_or_numbers(tmp_path):
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2.0)
    inputs = {"inputs": strings(example.SerializeToString())}
    written(
        tmp_path,
        answered(
            method="Classify", inputs=inputs, outputs={"classes": strings(b"a")[None], "scores": np.float32([[0.5]])}
        ),
        answered(1, method="Regress", inputs=inputs, outputs={"outputs": np.float32([4.5])}),
    )
    classified, regressed = records(tmp_path)
    assert classified.classify_log.request.input.example_list.examples[0] == example
    found = classified.classify_log.response.result.classifications[0].classes[0]
    assert (found.label, found.score) == ("a", 0.5)
    assert regressed.regress_log.response.result.regressions[0].value == 4.5
    assert read_requests(tmp_path)["value"].to_pylist()[1] == 4.5


def multi_inference():
    """Two Examples, asked for a number and for a label each."""
    examples = [tf.train.Example() for _ in range(2)]
    for value, example in enumerate(examples):
        example.features.feature["x"].float_list.value.append(value)
    classified = {"classes": strings(b"a", b"b")[:, None], "scores": np.float32([[0.5], [0.25]])}
    return answered(
        method="MultiInference",
        signature="number",
        inputs={"inputs": strings(*(example.SerializeToString() for example in examples))},
        outputs={},
        tasks=(
            Inference(signature="number", method=REGRESS, outputs={"outputs": np.float32([4.5, 5])}),
            Inference(signature="name", method=CLASSIFY, outputs=classified),
        ),
    )


def test_a_multi_inference_is_one_record_with_all_its_tasks(tmp_path):
    written(tmp_path, multi_inference())
    (record,) = records(tmp_path)
    log = record.multi_inference_log
    assert len(log.request.input.example_list.examples) == 2
    assert [(task.method_name, task.model_spec.signature_name) for task in log.request.tasks] == [
        (REGRESS, "number"),
        (CLASSIFY, "name"),
    ]
    numbers, names = log.response.results
    assert [one.value for one in numbers.regression_result.regressions] == [4.5, 5]
    assert [one.classes[0].label for one in names.classification_result.classifications] == ["a", "b"]
    assert (names.model_spec.name, names.model_spec.version.value) == ("landcover", 7)
    assert record.log_metadata.model_spec.signature_name == "number"


def test_a_multi_inference_is_one_line_for_each_item_of_the_table(tmp_path):
    written(tmp_path, multi_inference())
    first, second = read_requests(tmp_path).to_pylist()
    assert (first["method"], first["signature"], first["rows"]) == ("MultiInference", "number,name", 2)
    assert [(one["value"], one["label"], one["score"]) for one in (first, second)] == [(4.5, "a", 0.5), (5, "b", 0.25)]


def test_outputs_of_all_tasks_count_as_bytes_that_wait(tmp_path):
    size = multi_inference().bytes()
    assert written(tmp_path / "small", multi_inference(), max_queued_bytes=size - 1).counts()["dropped"] == 1
    assert written(tmp_path / "large", multi_inference(), max_queued_bytes=size).counts()["written"] == 1
    assert size > dataclasses.replace(multi_inference(), tasks=()).bytes() + 8 * 4


def test_inputs_that_are_no_rows_are_one_line(tmp_path):
    written(tmp_path, answered(inputs={"a": np.float32([1, 2]), "b": np.float32([3])}, outputs={"y": np.float32(1)}))
    (line,) = read_requests(tmp_path).to_pylist()
    assert (line["rows"], line["row"], line["label"]) == (1, 0, None)


def test_a_new_pair_of_files_begins_when_the_old_one_is_large(tmp_path):
    written(tmp_path, *(answered(number) for number in range(5)), max_file_bytes=1)
    assert len(list(tmp_path.glob("*.tfrecord"))) == len(list(tmp_path.glob("*.parquet"))) == 5
    assert read_requests(tmp_path)["id"].to_pylist()[::2] == [f"camera-{number}" for number in range(5)]
    assert [log.log_metadata.request_origin for log in records(tmp_path)] == [f"camera-{n}" for n in range(5)]


def test_a_file_is_finished_when_it_is_old_without_another_request(tmp_path):
    log = RequestLog(LogSettings(folder=tmp_path, max_file_s=0.0))
    log.record(answered())
    until(lambda: list(tmp_path.glob("*.parquet")))
    assert read_requests(tmp_path).num_rows == 2
    log.close()


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_file_that_is_still_written_has_another_name(tmp_path):
    log = RequestLog(LogSettings(folder=tmp_path))
    log.record(answered())
    until(lambda: log.counts()["written"] == 1)
    assert list(tmp_path.glob("*.tfrecord")) == [] == list(tmp_path.glob("*.parquet"))
    assert len(list(tmp_path.glob("*.part"))) == 1
    log.close()
    assert list(tmp_path.glob("*.part")) == []


def test_whole_records_of_a_killed_server_are_kept(tmp_path):
    written(tmp_path, answered(0), answered(1))
    (path,) = tmp_path.glob("*.tfrecord")
    whole = path.read_bytes()
    for table in tmp_path.glob("*.parquet"):
        table.unlink()
    path.unlink()
    (tmp_path / "requests-20260101T000000Z-4194305-1.tfrecord.part").write_bytes(whole[:-3])  # no such process
    written(tmp_path, answered(2))
    assert [log.log_metadata.request_origin for log in records(tmp_path)] == ["camera-0", "camera-2"]


def test_what_another_server_writes_is_left_to_it(tmp_path):
    first = RequestLog(LogSettings(folder=tmp_path))
    first.record(answered(0))
    until(lambda: first.counts()["written"] == 1)
    written(tmp_path, answered(1))  # as in another container: the process number tells nothing
    first.record(answered(2))
    first.close()
    assert first.counts() == {"written": 2, "dropped": 0, "failed": 0}
    assert sorted(read_requests(tmp_path)["id"].to_pylist()) == sorted(["camera-0", "camera-1", "camera-2"] * 2)


def test_a_table_that_was_half_written_goes_with_the_take_over_of_its_records(tmp_path):
    written(tmp_path, answered(0))
    (path,), (table,) = tmp_path.glob("*.tfrecord"), tmp_path.glob("*.parquet")
    path.rename(f"{path}.part")
    table.rename(f"{table}.part")
    written(tmp_path, answered(1))
    assert list(tmp_path.glob("*.part")) == []
    assert sorted(log.log_metadata.request_origin for log in records(tmp_path)) == ["camera-0", "camera-1"]


def settings_of(text):
    from google.protobuf import text_format

    return text_format.Parse(f"model_config_list {{ {text} }}", model_server_config_pb2.ModelServerConfig())


def test_a_models_own_logging_config_says_how_much_and_where(tmp_path):
    log = RequestLog(LogSettings(folder=tmp_path / "all", sampling_rate=1.0))
    log.apply(
        settings_of(
            'config { name: "quiet" logging_config { sampling_config { sampling_rate: 0 } } } '
            'config { name: "own" logging_config { sampling_config { sampling_rate: 1 } '
            f'log_collector_config {{ filename_prefix: "{tmp_path}/own/part" }} }} }} '
            'config { name: "half" logging_config { sampling_config { sampling_rate: 0.5 } } } config { name: "plain" }'
        )
    )
    assert not any(log.wants("quiet") for _ in range(100))
    assert all(log.wants("plain") and log.wants("own") for _ in range(100))
    assert 300 < sum(log.wants("half") for _ in range(1000)) < 700
    log.record(answered(model="own"))
    log.record(answered(model="plain"))
    log.close()
    assert [path.name[:5] for path in (tmp_path / "own").glob("*.parquet")] == ["part-"]
    assert read_requests(tmp_path / "own")["model"].to_pylist() == ["own", "own"]
    assert read_requests(tmp_path / "all")["model"].to_pylist() == ["plain", "plain"]


def own_files(*prefixes):
    """Models `m0`, `m1`, …, each with a file prefix of its own."""
    return settings_of(
        " ".join(
            f'config {{ name: "m{number}" logging_config {{ sampling_config {{ sampling_rate: 1 }} '
            f'log_collector_config {{ filename_prefix: "{prefix}" }} }} }}'
            for number, prefix in enumerate(prefixes)
        )
    )


def test_a_prefix_may_begin_as_another_does(tmp_path):
    log = RequestLog(LogSettings())
    log.apply(own_files(tmp_path / "cat-v2", tmp_path / "cat"))
    for number, model in enumerate(["m0", "m1", "m0"]):
        log.record(answered(number, model=model))
    log.close()
    assert log.counts() == {"written": 3, "dropped": 0, "failed": 0}
    assert sorted(read_requests(tmp_path)["model"].to_pylist()) == ["m0"] * 4 + ["m1"] * 2


def test_a_folder_that_refuses_one_models_files_costs_no_other(tmp_path):
    (tmp_path / "file").write_text("")
    log = RequestLog(LogSettings())
    log.apply(own_files(tmp_path / "file" / "log", tmp_path / "good"))
    for number, model in enumerate(["m1", "m0", "m1", "m0"]):
        log.record(answered(number, model=model))
    log.close()
    assert log.counts() == {"written": 2, "dropped": 0, "failed": 2}
    assert read_requests(tmp_path)["id"].to_pylist() == ["camera-0"] * 2 + ["camera-2"] * 2


def test_a_file_is_finished_when_it_is_old_while_another_model_is_asked_all_the_time(tmp_path):
    log = RequestLog(LogSettings(folder=tmp_path, max_file_s=0.0))
    log.apply(own_files(tmp_path / "quiet" / "log"))
    log.record(answered(model="m0"))

    def is_finished():
        log.record(answered(model="busy"))
        return list((tmp_path / "quiet").glob("*.parquet"))

    until(is_finished)
    log.close()


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (np.array([2**60 + 1, 1]), [float(2**60), 1.0]),
        (np.array([True, False]), [1.0, 0.0]),
        (np.array([1 + 2j, 0], np.complex64), [None, None]),
    ],
)
def test_no_kind_of_number_costs_the_other_entries(tmp_path, value, seen):
    log = written(tmp_path, answered(0), answered(1, outputs={"value": value}), answered(2))
    assert log.counts() == {"written": 3, "dropped": 0, "failed": 0}
    assert read_requests(tmp_path)["value"].to_pylist() == [None, None, *seen, None, None]


def test_an_answer_that_cannot_be_put_into_words_costs_itself_alone(tmp_path, caplog):
    bad = answered(1, method="Classify", inputs={"inputs": strings(b"\xff no Example")})
    log = written(tmp_path, answered(0), bad, bad, answered(2))
    assert log.counts() == {"written": 2, "dropped": 0, "failed": 2}
    assert [record.message[:50] for record in caplog.records] == ["an answer of model landcover cannot be logged (Err"]


def test_without_a_folder_nothing_is_wanted():
    assert not RequestLog(LogSettings()).wants("landcover")


def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path, monkeypatch):
    gate = threading.Event()
    add = log_files.RotatingFiles.add
    monkeypatch.setattr(log_files.RotatingFiles, "add", lambda self, entry: gate.wait(20) and add(self, entry))
    log = RequestLog(LogSettings(folder=tmp_path, max_queued=3))
    assert [log.record(answered(number)) for number in range(10)] == [True] * 3 + [False] * 7
    assert log.counts()["dropped"] == 7
    gate.set()
    log.close()
    assert log.counts() == {"written": 3, "dropped": 7, "failed": 0}


def test_so_does_a_queue_that_holds_too_many_bytes(tmp_path):
    log = written(tmp_path, answered(inputs={"image": strings(b"x" * 5000)}), max_queued_bytes=4000)
    assert log.counts() == {"written": 0, "dropped": 1, "failed": 0}


def test_a_disk_that_refuses_is_said_once_and_loses_entries_alone(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(log_files.RotatingFiles, "add", full)
        patched.setattr("serving.model_server.request_log._RETRY_S", 0.0)
        log = RequestLog(LogSettings(folder=tmp_path))
        for number in range(3):
            log.record(answered(number))
        until(lambda: log.counts()["failed"] == 3)
    assert [record.message[:33] for record in caplog.records] == ["the request log cannot be written"]
    assert "No space left on device" in caplog.text
    assert "Free some space" in caplog.text
    log.record(answered(9))
    log.close()
    assert log.counts() == {"written": 1, "dropped": 0, "failed": 3}
    assert read_requests(tmp_path)["id"].to_pylist() == ["camera-9", "camera-9"]


def test_entries_whose_file_cannot_be_finished_count_as_failed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_files, "_write_table", full)
    log = written(tmp_path, answered(0), answered(1))
    assert log.counts() == {"written": 0, "dropped": 0, "failed": 2}
    assert list(tmp_path.glob("*.parquet")) == []


def test_the_metrics_are_told_of_entries_that_the_disk_does_not_take(tmp_path, monkeypatch):
    metrics = Metrics()
    log = RequestLog(LogSettings(folder=tmp_path), metrics)
    assert log.record(answered())
    until(lambda: log.counts()["written"] == 1)
    assert metrics.log_dropped.value("landcover") == 0
    monkeypatch.setattr(log_files.RotatingFiles, "add", lambda *_: 1 / 0)
    assert log.record(answered())
    log.close()
    assert metrics.log_dropped.value("landcover") == 1


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    assert written(tmp_path / "file" / "log", answered()).counts()["failed"] == 1


def test_corrections_are_joined_by_id_and_row(tmp_path):
    written(tmp_path, answered(0), answered(1))
    corrections = pa.table(
        {"id": ["camera-1", "camera-0"], "row": [1, 0], "label": ["River", "Forest"], "by": ["a", "b"]}
    )
    found = read_requests(tmp_path, corrections).select(["id", "row", "label", "true_label"]).to_pylist()
    assert [(one["id"], one["row"], one["true_label"]) for one in found] == [
        ("camera-0", 0, "Forest"),
        ("camera-0", 1, None),
        ("camera-1", 0, None),
        ("camera-1", 1, "River"),
    ]


def test_corrections_that_do_not_say_which_item_are_refused(tmp_path):
    written(tmp_path, answered())
    requests = read_requests(tmp_path)
    with pytest.raises(ValueError, match="columns id and label.*missing: label; found: id, class"):
        join_corrections(requests, pa.table({"id": ["a"], "class": ["b"]}))
    with pytest.raises(ValueError, match="name an item once, by id; some are named twice"):
        join_corrections(requests, pa.table({"id": ["a", "a"], "label": ["b", "c"]}))


def test_a_folder_without_a_log_says_how_to_get_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has none. Start the server with --request_log_dir"):
        read_requests(tmp_path)


def test_a_sampling_rate_is_a_fraction():
    with pytest.raises(ValueError, match="a fraction from 0 to 1, got 50"):
        LogSettings(sampling_rate=50)
