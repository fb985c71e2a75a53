"""Ingest: every good item once, nothing lost, the same bytes every time, and plain words when it stops."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from applications.errors import DataError, OutputError, StageError
from applications.formats import image_files, image_folder, image_folder_beam
from applications.settings import SplitSettings
from components.ingest import failures, flow, judgement
from components.ingest.plan import make_plan
from components.ingest.portions import Portions
from schemas import features

Run = Callable[..., Any]


class BySite(image_folder.ImageFolder):
    """The group is the file's name, which three classes share."""

    def group(self, origin: str) -> str:
        return Path(origin).stem


def value(example: Any, key: str) -> Any:
    feature = example.features.feature[key]
    values = feature.bytes_list.value or feature.int64_list.value or feature.float_list.value
    return values[0]


def test_every_good_item_is_written_once_with_its_origin(ingest: Run, chips_folder: Path) -> None:
    rows = list(ingest(chips_folder).rows())
    origins = [value(example, features.ORIGIN).decode() for _, example in rows]
    assert sorted(origins) == sorted(str(path.relative_to(chips_folder)) for path in chips_folder.glob("*/*"))
    first = rows[0][1]
    assert value(first, features.IMAGE) == (chips_folder / origins[0]).read_bytes()
    assert value(first, features.GROUP) == value(first, features.SHA256)


def test_the_artifact_says_what_the_next_stages_ask_for(ingest: Run, chips_folder: Path) -> None:
    examples = ingest(chips_folder).examples
    assert list(examples.splits) == ["train", "validation", "test"]
    assert examples.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert examples.get_string_custom_property("file_format") == "tfrecords_gzip"
    assert (examples.span, examples.version) == (0, 0)


def test_the_same_data_give_the_same_bytes_in_any_order_and_on_two_workers(
    ingest: Run, chips_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ingest(chips_folder).files()
    listed = list(image_folder.list_files(str(chips_folder)))
    monkeypatch.setattr(image_folder_beam, "list_files", lambda _: listed[::-1])
    again = ingest(chips_folder, beam=("--direct_num_workers=2", "--direct_running_mode=multi_threading"))
    assert again.files() == first
    assert set(first) == {f"Split-{split}/data_tfrecord-00000-of-00001.gz" for split in features.SPLITS}


def test_items_of_a_file_are_in_an_order_that_mixes_the_classes(ingest: Run, chips_folder: Path) -> None:
    labels = [value(example, features.LABEL) for split, example in ingest(chips_folder).rows() if split == "train"]
    changes = sum(one != other for one, other in itertools.pairwise(labels))
    assert changes > len(labels) / 2


def test_items_are_shared_out_to_files_of_about_the_same_size(
    ingest: Run, chips_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [value(example, features.ORIGIN) for split, example in ingest(chips_folder).rows() if split == "train"]
    monkeypatch.setattr(flow, "_ITEMS_PER_FILE", 40)
    parted = ingest(chips_folder)
    assert sorted(name for name in parted.files() if "train" in name) == [
        f"Split-train/data_tfrecord-0000{number}-of-00003.gz" for number in range(3)
    ]
    assert [value(example, features.ORIGIN) for split, example in parted.rows() if split == "train"] == whole


@pytest.mark.parametrize("after", [b"another content", None])
def test_a_file_that_changes_while_ingest_runs_stops_it(
    ingest: Run, chips_folder: Path, monkeypatch: pytest.MonkeyPatch, after: bytes | None
) -> None:
    def plan_then_change(*arguments: Any) -> Any:
        planned = make_plan(*arguments)
        changed = chips_folder / "grass" / "004.png"
        changed.unlink() if after is None else changed.write_bytes(after)
        return planned

    monkeypatch.setattr(flow, "make_plan", plan_then_change)
    how = "unreadable: No such file" if after is None else "its content is another one now"
    with pytest.raises(StageError, match=rf"grass/004\.png has changed \({how}.*Run again when nothing writes there"):
        ingest(chips_folder)


def test_data_added_later_move_nothing(ingest: Run, chips_folder: Path, make_picture: Any, to_png: Any) -> None:
    before = {value(example, features.ORIGIN): split for split, example in ingest(chips_folder).rows()}
    for seed in range(20):
        (chips_folder / "grass" / f"new{seed}.png").write_bytes(to_png(make_picture(9000 + seed)))
    after = {value(example, features.ORIGIN): split for split, example in ingest(chips_folder).rows()}
    assert len(after) == 110
    assert {origin: after[origin] for origin in before} == before


def test_near_copies_share_a_group_and_a_split(ingest: Run, chips_folder: Path, make_picture: Any, to_png: Any) -> None:
    for seed in range(10):
        brighter = np.clip(make_picture(seed).astype(np.float64) * 1.08 + 4, 0, 255).astype(np.uint8)
        (chips_folder / "grass" / f"copy{seed}.png").write_bytes(to_png(brighter))
        (chips_folder / "grass" / f"same{seed}.png").write_bytes(to_png(make_picture(seed)))
    result = ingest(chips_folder)
    members = Counter(value(example, features.GROUP) for _, example in result.rows())
    homes = {(value(example, features.GROUP), split) for split, example in result.rows()}
    assert len(homes) == len(members)
    assert result.summary["groups_of_two_or_more"] == 10
    assert result.summary["largest_group"] >= 2


def test_groups_that_the_source_knows_are_kept_whole(ingest: Run, chips_folder: Path, chips: Any) -> None:
    by_site = dataclasses.replace(chips, group_by="site", source=f"{__name__}.BySite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("applications.discovery.source", BySite)
        result = ingest(chips_folder, application=by_site, near_duplicate_bits=0)
    homes = {(value(example, features.GROUP), split) for split, example in result.rows()}
    assert {group for group, _ in homes} == {f"{number:03d}".encode() for number in range(30)}
    assert len(homes) == 30


def test_the_same_bytes_in_two_classes_are_quarantined_with_the_other_file_named(
    ingest: Run, chips_folder: Path
) -> None:
    twin = (chips_folder / "grass" / "004.png").read_bytes()
    (chips_folder / "water" / "twin.png").write_bytes(twin)
    result = ingest(chips_folder)
    assert [(line["origin"], line["reason"], line["detail"]) for line in result.refused] == [
        ("grass/004.png", "duplicate in another class", "the same bytes are water/twin.png, of class water"),
        ("water/twin.png", "duplicate in another class", "the same bytes are grass/004.png, of class grass"),
    ]
    assert result.refused[0]["bytes"] == len(twin)
    assert result.summary["by_reason"] == {"duplicate in another class": 2}
    assert result.summary["accepted"] == 89
    assert result.summary["by_class"] == {"grass": 29, "sand": 30, "water": 30}


def test_too_many_bad_items_stop_the_run_and_every_one_is_in_the_log(
    ingest: Run, chips_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(8):
        (chips_folder / "sand" / f"bad{number}.png").write_bytes(b"no picture at all")
    with (
        caplog.at_level(logging.ERROR, logger="components.ingest.judgement"),
        pytest.raises(
            StageError, match=r"refused 8 of 98 items, 8\.2%; at most 5\.0% may be bad: 8 not an image"
        ) as stop,
    ):
        ingest(chips_folder)
    assert "for example sand/bad0.png" in str(stop.value)
    assert "--set ingest.max_bad_share=0.09" in str(stop.value)
    assert [f"sand/bad{number}.png" in caplog.text for number in range(8)] == [True] * 8
    assert ingest(chips_folder, max_bad_share=0.09).summary["refused"] == 8


def test_a_stopped_run_lists_every_refusal_however_many(caplog: pytest.LogCaptureFixture) -> None:
    reasons = ["zero bytes"] * 1300 + ["truncated"] * 2 + ["unreadable", "wrong mode"]
    refused = [{"origin": f"sand/{number}.png", "reason": why, "detail": "-"} for number, why in enumerate(reasons)]
    summary = {
        "items_read": 2000,
        "accepted": 2000 - len(refused),
        "refused": len(refused),
        "bad_share": len(refused) / 2000,
        "max_bad_share": 0.05,
        "by_reason": Counter(reasons),
    }
    counted = "1300 zero bytes, 2 truncated, 1 unreadable, 1 wrong mode; for example"
    with caplog.at_level(logging.ERROR), pytest.raises(StageError, match=counted):
        judgement.check(summary, refused, SplitSettings(), ("sand",))
    assert sum(message.startswith("refused sand/") for message in caplog.messages) == 1304


def test_nothing_readable_is_said_before_any_limit(ingest: Run, tmp_path: Path, chips: Any) -> None:
    for name in chips.classes:
        (tmp_path / "bad" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "bad" / name / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(StageError, match=r"could use none of the 12 items: 12 zero bytes; for example grass/0\.jpg"):
        ingest(tmp_path / "bad", max_bad_share=1.0)


def test_a_class_that_lost_all_its_items_is_named(ingest: Run, chips_folder: Path) -> None:
    for path in (chips_folder / "water").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StageError, match="no usable item of water. All of theirs were refused"):
        ingest(chips_folder, max_bad_share=0.5)


def test_an_empty_split_says_what_to_do(ingest: Run, chips_folder: Path, chips: Any) -> None:
    lopsided = SplitSettings(train=0.5, validation=0.4999, test=0.0001, seed=7)
    with pytest.raises(StageError, match=r"split 'test' is empty: 90 items in 90 groups.*split\.seed=8"):
        ingest(chips_folder, application=dataclasses.replace(chips, split=lopsided))


def test_a_layout_that_cannot_be_used_is_a_data_error(ingest: Run, chips_folder: Path) -> None:
    (chips_folder / "wather").mkdir()
    with pytest.raises(DataError, match="'wather' is no class of test/chips.*Did you mean 'water'"):
        ingest(chips_folder)


def test_an_error_inside_a_beam_worker_keeps_its_sentence(
    ingest: Run, chips_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DataError("the sensor's calibration is missing. Put calibration.json beside the folders.")

    monkeypatch.setattr(image_files, "read_image", refuse)
    with pytest.raises(DataError) as stop:
        ingest(chips_folder)
    assert str(stop.value) == "the sensor's calibration is missing. Put calibration.json beside the folders."


def test_the_last_line_of_a_wrapped_trace_is_shown() -> None:
    trace = (
        "Traceback (most recent call last):\n  File x\nKeyError: 'depth'\n\nValueError: no depth [while running 'Read']"
    )
    assert str(failures.plain(RuntimeError(trace), "ingest")) == (
        "ingest stopped on ValueError: no depth. The log of the stage has the whole trace."
    )


def test_a_full_disk_is_an_output_error() -> None:
    wrapped = RuntimeError("OSError: [Errno 28] No space left on device [while running 'Write']")
    found = failures.plain(wrapped, "ingest")
    assert isinstance(found, OutputError)
    assert "No space left on device" in str(found)
    assert "--out" in str(found)


@pytest.fixture
def two_spans(tmp_path: Path, chips: Any, make_picture: Any, to_png: Any) -> Path:
    """Spans 2 and 10 of 20 different pictures a class each; the second has no water."""
    for span in (2, 10):
        for number, name in enumerate(chips.classes):
            folder = tmp_path / "field" / str(span) / name
            folder.mkdir(parents=True)
            for item in range(20):
                (folder / f"{item:03d}.png").write_bytes(to_png(make_picture(span * 10_000 + number * 1000 + item)))
    for path in (tmp_path / "field" / "10" / "water").iterdir():
        path.unlink()
    (tmp_path / "field" / "10" / "water").rmdir()
    return tmp_path / "field"


def test_all_spans_are_one_data_set_whose_origins_say_which_span(ingest: Run, two_spans: Path) -> None:
    result = ingest(f"{two_spans}/{{SPAN}}")
    found = {value(example, features.ORIGIN).decode(): example for _, example in result.rows()}
    assert set(found) == {str(path.relative_to(two_spans)) for path in two_spans.glob("*/*/*")}
    for origin in ("2/grass/004.png", "10/grass/004.png"):
        assert value(found[origin], features.IMAGE) == (two_spans / origin).read_bytes()
    assert result.summary["by_class"] == {"grass": 40, "sand": 40, "water": 20}
    assert result.examples.span == 10


def test_the_version_that_is_read_is_written_on_the_examples(ingest: Run, chips_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "versions" / "7"
    for version in (1, 2):
        (folder / f"v{version}").mkdir(parents=True)
    for path in list(chips_folder.iterdir()):
        path.rename(folder / "v2" / path.name)
    examples = ingest(f"{tmp_path}/versions/{{SPAN}}/v{{VERSION}}").examples
    assert (examples.span, examples.version) == (7, 2)


def test_a_year_of_spans_makes_no_larger_pipeline_than_two(chips: Any) -> None:
    import apache_beam as beam

    def transforms(spans: int) -> int:
        pipeline = beam.Pipeline()
        folders = {str(number): f"field/{number}" for number in range(spans)}
        _ = pipeline | Portions(image_folder.ImageFolder(chips), folders).items()
        return len(pipeline.to_runner_api().components.transforms)

    assert transforms(365) == transforms(2)


def test_copies_in_two_spans_are_what_copies_in_one_folder_are(ingest: Run, two_spans: Path) -> None:
    same = (two_spans / "2" / "grass" / "004.png").read_bytes()
    (two_spans / "10" / "grass" / "twin.png").write_bytes(same)
    doubted = (two_spans / "2" / "sand" / "004.png").read_bytes()
    (two_spans / "10" / "grass" / "other.png").write_bytes(doubted)
    result = ingest(f"{two_spans}/{{SPAN}}")
    homes = {
        value(example, features.ORIGIN).decode(): (split, value(example, features.GROUP))
        for split, example in result.rows()
    }
    assert homes["2/grass/004.png"] == homes["10/grass/twin.png"]
    assert [(line["origin"], line["detail"]) for line in result.refused] == [
        ("10/grass/other.png", "the same bytes are 2/sand/004.png, of class sand"),
        ("2/sand/004.png", "the same bytes are 10/grass/other.png, of class grass"),
    ]


def test_a_folder_of_one_span_that_is_no_class_is_named_with_its_span(ingest: Run, two_spans: Path) -> None:
    (two_spans / "10" / "wter").mkdir()
    with pytest.raises(DataError, match=r"field/10: folder 'wter' is no class of test/chips.*Did you mean 'water'"):
        ingest(f"{two_spans}/{{SPAN}}")


def test_a_class_that_no_span_has_stops_the_run(ingest: Run, two_spans: Path) -> None:
    for path in (two_spans / "2" / "water").iterdir():
        path.unlink()
    (two_spans / "2" / "water").rmdir()
    with pytest.raises(
        DataError, match=r"2 folders from .*field/2 to .*field/10: class folder 'water' is missing\. Add"
    ):
        ingest(f"{two_spans}/{{SPAN}}")
