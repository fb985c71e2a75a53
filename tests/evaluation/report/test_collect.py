"""Gathering a run's artifacts into one record."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from applications.errors import DataError
from evaluation.report import collect, examples, page, statistics, thumbnails


def bytes_field(number: int, data: bytes) -> bytes:
    """Returns a length-delimited protobuf field; by hand, so that the reader is held against the wire format."""
    length, size = b"", len(data)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def example(**features: bytes | int) -> bytes:
    """Returns a serialized tf.train.Example of bytes and int64 features."""
    entries = b""
    for name, value in features.items():
        kind = (
            bytes_field(1, bytes_field(1, value))
            if isinstance(value, bytes)
            else bytes_field(3, bytes([1 << 3, value]))
        )
        entries += bytes_field(1, bytes_field(1, name.encode()) + bytes_field(2, kind))
    return bytes_field(1, entries)


def write_records(file: Path, records: list[bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(struct.pack("<Q", len(record)) + b"\0" * 4 + record + b"\0" * 4 for record in records)
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


@pytest.fixture
def folders(tmp_path: Path, report: dict[str, Any], images: list[bytes], write_json: Any) -> collect.ReportInputs:
    """Artifact folders of a whole run, in the layout that the stages write."""
    report["metrics"]["worst_errors"] = report["metrics"]["worst_errors"][:3]
    write_json(tmp_path / "verdict" / "verdict.json", report["verdict"])
    write_json(tmp_path / "verdict" / "metrics.json", report["metrics"])
    write_json(tmp_path / "window" / "window.json", {"pattern": "field/{SPAN}", "spans": []})
    write_json(tmp_path / "audit" / "audit.json", report["audit"])
    write_json(tmp_path / "run" / "history.json", report["training"])
    write_json(tmp_path / "check" / "serving_check.json", report["serving_check"])
    write_json(
        tmp_path / "pushed" / "model.json",
        {"model": "satellite-landcover", "version": 8, "files": {"a": "1", "b": "2"}},
    )
    write_json(tmp_path / "baseline" / "absent.json", {"reason": "no version to compare with", "broken": []})
    write_json(tmp_path / "quarantine" / "summary.json", report["quarantine"]["summary"])
    refused = [report["quarantine"]["refused"][0]] * (collect.REFUSED_SHOWN + 5)
    (tmp_path / "quarantine" / "refused.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in refused), encoding="utf-8"
    )
    rows = [
        example(
            image=images[i],
            label=b"River" if i % 2 else b"Forest",
            label_id=i % 2,
            sha256=f"{i:064x}".encode(),
            origin=b"x",
        )
        for i in range(6)
    ]
    write_records(tmp_path / "examples" / "Split-test" / "data-00000-of-00001.gz", rows)
    return collect.ReportInputs(
        application="satellite/landcover",
        configuration={"version": 1},
        code_version="abc",
        window=tmp_path / "window",
        examples=tmp_path / "examples",
        verdict=tmp_path / "verdict",
        audit=tmp_path / "audit",
        model_run=tmp_path / "run",
        serving_report=tmp_path / "check",
        pushed_model=tmp_path / "pushed",
        baseline=tmp_path / "baseline",
        quarantine=tmp_path / "quarantine",
    )


def test_every_artifact_is_in_the_report_and_the_report_is_json(folders: collect.ReportInputs) -> None:
    found: dict[str, Any] = json.loads(json.dumps(collect.collect(folders)))
    assert found["verdict"]["verdict"] == "blessed"
    assert found["training"]["best_epoch"] == 18
    assert found["window"]["pattern"] == "field/{SPAN}"
    assert found["pushed"] == {"model": "satellite-landcover", "version": 8, "created_utc": None, "files": 2}
    assert found["baseline"]["reason"] == "no version to compare with"
    assert found["statistics"] is None
    assert found["run"] is None
    kept = {row["stage"]: row["kind"] for row in found["artifacts"]}
    assert kept["serving-check"] == "Serving check"
    assert "tmp" not in json.dumps([row["place"] for row in found["artifacts"]]).split("/")[0]


def test_refused_files_are_listed_up_to_a_cap_and_all_counted(folders: collect.ReportInputs) -> None:
    found: dict[str, Any] = collect.collect(folders)
    assert len(found["quarantine"]["refused"]) == collect.REFUSED_SHOWN
    assert found["quarantine"]["refused_count"] == collect.REFUSED_SHOWN + 5
    assert "and 5 more in the artifact" in page.render(found)


def test_thumbnails_are_found_by_sha256_and_one_for_each_class(folders: collect.ReportInputs) -> None:
    found: dict[str, Any] = collect.collect(folders)
    assert set(found["pictures"]["items"]) == {f"{i:064x}" for i in range(3)}
    assert set(found["pictures"]["classes"]) == {"River", "Forest"}
    assert all(uri.startswith("data:image/jpeg;base64,/9j/") for uri in found["pictures"]["items"].values())


def test_half_written_json_is_left_out_rather_than_stopping_the_report(folders: collect.ReportInputs) -> None:
    assert folders.audit is not None
    (folders.audit / "audit.json").write_text('{"is_clean": tr', encoding="utf-8")
    assert collect.collect(folders)["audit"] is None


def test_model_that_was_not_pushed_comes_with_the_reason(folders: collect.ReportInputs, write_json: Any) -> None:
    assert folders.pushed_model is not None
    (folders.pushed_model / "model.json").unlink()
    write_json(folders.pushed_model / "not_pushed.json", {"reason": "the serving check failed."})
    found = collect.collect(folders)
    assert found["pushed"] == {"reason": "the serving check failed."}
    assert "Nothing was pushed. the serving check failed." in page.render(found)


def test_record_of_a_run_names_the_folders(tmp_path: Path) -> None:
    made = {
        "ingest": {"examples": ["artifacts/ingest/examples/1"]},
        "bless": {"verdict": ["artifacts/bless/verdict/9"], "other": []},
    }
    inputs = collect.inputs_of_record(tmp_path, {"application": "a/b", "config": {"version": 1}, "artifacts": made})
    assert inputs.examples == tmp_path / "artifacts/ingest/examples/1"
    assert inputs.verdict == tmp_path / "artifacts/bless/verdict/9"
    assert inputs.statistics is None
    assert inputs.configuration == {"version": 1}


def test_nothing_at_all_still_gives_a_report() -> None:
    found = collect.collect(collect.ReportInputs(application="no_such/application"))
    assert found["application"] == {"name": "no_such/application"}
    assert "<h1>no_such/application</h1>" in page.render(found)


@pytest.mark.parametrize("cut", [5, 20])
def test_cut_off_records_are_named(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "Split-test" / "data-00000-of-00001"
    write_records(file, [b"x" * 40])
    file.write_bytes(file.read_bytes()[:-cut] if cut == 5 else file.read_bytes()[:8])
    with pytest.raises(
        DataError, match=r"Split-test/data-00000-of-00001 must be a TFRecord of Examples: it ends within a record"
    ):
        list(examples.read_examples(file.parent.parent, "test"))


def test_other_files_than_records_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "Split-test" / "data"
    file.parent.mkdir()
    file.write_bytes(b"this is no record at all")
    with pytest.raises(DataError, match=r"a record of 23\d+ bytes is stated"):
        list(examples.read_examples(tmp_path, "test"))


def test_thumbnail_is_small_and_carries_no_camera_data() -> None:
    import base64
    import io

    from PIL import Image

    exif, out = Image.Exif(), io.BytesIO()
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    Image.new("RGB", (900, 300), "teal").save(out, "JPEG", exif=exif)
    made = Image.open(io.BytesIO(base64.b64decode(thumbnails.thumbnail(out.getvalue()).partition(",")[2])))
    assert made.size == (128, 43)
    assert len(made.getexif()) == 0


def test_broken_image_has_no_thumbnail() -> None:
    assert thumbnails.thumbnail(b"\xff\xd8\xff not an image") == ""


def test_statistics_are_summarised_for_every_split(tmp_path: Path) -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    made = statistics_pb2.DatasetFeatureStatisticsList()
    data = made.datasets.add(num_examples=10)
    number = data.features.add(type=statistics_pb2.FeatureNameStatistics.FLOAT)
    number.path.step.append("brightness")
    number.num_stats.mean, number.num_stats.std_dev, number.num_stats.max = 0.5, float("nan"), 0.9
    number.num_stats.common_stats.num_non_missing, number.num_stats.common_stats.num_missing = 9, 1
    number.num_stats.histograms.add(type=1).buckets.add(low_value=0, high_value=1, sample_count=5)
    number.num_stats.histograms.add(type=0).buckets.add(low_value=0, high_value=0.9, sample_count=9)
    words = data.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
    words.path.step.append("label")
    words.string_stats.unique, words.string_stats.common_stats.num_non_missing = 2, 10
    words.string_stats.top_values.add(value="r" * 99, frequency=7)
    words.string_stats.top_values.add(value="__BYTES_VALUE__", frequency=3)
    for split in ("test", "train"):
        (tmp_path / f"Split-{split}").mkdir()
        (tmp_path / f"Split-{split}" / "FeatureStats.pb").write_bytes(made.SerializeToString())
    found = statistics.summarise(tmp_path)
    assert found is not None
    assert list(found["splits"]) == ["train", "test"]
    brightness, label = found["features"]
    assert brightness["splits"]["train"]["missing"] == 1
    assert brightness["splits"]["train"]["sd"] is None
    assert brightness["splits"]["train"]["histogram"] == [[0, 0.9, 9]]
    assert label["splits"]["test"]["top"] == [["r" * 60, 7]]


def test_statistics_that_are_not_a_protobuf_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "Split-train").mkdir()
    (tmp_path / "Split-train" / "FeatureStats.pb").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(
        DataError, match=r"Split-train/FeatureStats.pb must hold a DatasetFeatureStatisticsList.*its 4 bytes"
    ):
        statistics.summarise(tmp_path)
    found = collect.collect(collect.ReportInputs(application="a/b", statistics=tmp_path))
    assert found["statistics"] is None


def test_anomalies_keep_their_text(tmp_path: Path) -> None:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    made = anomalies_pb2.Anomalies()
    made.anomaly_info["label"].short_description = "Unexpected string values"
    made.anomaly_info["label"].description = "Examples contain values missing from the schema: Rivr."
    made.anomaly_info["label"].severity = anomalies_pb2.AnomalyInfo.ERROR
    for split, content in (("train", made), ("test", anomalies_pb2.Anomalies())):
        (tmp_path / f"Split-{split}").mkdir()
        (tmp_path / f"Split-{split}" / "SchemaDiff.pb").write_bytes(content.SerializeToString())
    found = statistics.anomalies(tmp_path)
    assert found is not None
    assert found["test"] == []
    assert found["train"][0]["severity"] == "error"
    assert "Rivr" in page.render({"anomalies": found})
