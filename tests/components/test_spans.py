"""The stage that looks which data there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tfx")

from applications.data_fingerprint import fingerprint
from applications.errors import DataPathError, StageError
from applications.settings import SpanSettings
from components import DataWindow, window
from components.spans import ResolveSpans


@pytest.fixture
def field(tmp_path: Path) -> Path:
    for span, files in ((1, 1), (2, 2), (10, 3)):
        (tmp_path / "field" / str(span)).mkdir(parents=True)
        for number in range(files):
            (tmp_path / "field" / str(span) / f"{number}.png").write_bytes(b"12345678")
    return tmp_path / "field"


def resolved(path: Path | str, out: Path, *, last: int = 0, was: str = "") -> tuple[DataWindow, dict[str, Any]]:
    made = DataWindow()
    made.uri = str(out / "window")
    settings = json.dumps({"spans": {"last": last}})
    ResolveSpans.test_call(window=made, data_path=str(path), settings=settings, data_fingerprint=was)
    return made, json.loads((out / "window" / "window.json").read_text())


def test_the_window_names_its_spans_and_the_artifact_tells_of_them(field: Path, tmp_path: Path) -> None:
    made, told = resolved(f"{field}/{{SPAN}}", tmp_path, last=2)
    assert told["pattern"] == f"{field}/{{SPAN}}"
    assert told["root"] == str(field)
    assert told["spans"] == [
        {"number": 2, "version": 0, "path": f"{field}/2", "name": "2"},
        {"number": 10, "version": 0, "path": f"{field}/10", "name": "10"},
    ]
    assert (told["files"], told["size_mib"]) == (5, 40 / 2**20)
    assert made.get_string_custom_property("fingerprint") == told["fingerprint"]
    assert made.get_int_custom_property("spans") == 2
    assert made.get_int_custom_property("newest_span") == 10


def test_a_plain_path_is_one_nameless_span_with_the_fingerprint_of_its_folder(field: Path, tmp_path: Path) -> None:
    made, told = resolved(field / "2", tmp_path)
    assert told["spans"] == [{"number": 0, "version": 0, "path": f"{field}/2", "name": ""}]
    assert told["fingerprint"] == fingerprint(str(field / "2")).digest
    assert made.get_int_custom_property("newest_span") == 0


def test_what_is_written_is_read_again(field: Path, tmp_path: Path) -> None:
    found = window.look(f"{field}/{{SPAN}}", SpanSettings(last=1))
    found.write(tmp_path / "w")
    assert window.read(tmp_path / "w") == found
    assert found.folders == {"10": f"{field}/10"}
    assert found.sentence == f"Reads span 10 of {field}/{{SPAN}}: 3 files, 0.0 MiB."
    assert window.look(str(field / "2"), SpanSettings()).sentence == ""


def test_another_span_is_another_fingerprint_and_one_outside_the_window_is_not(field: Path) -> None:
    def digest(last: int) -> str:
        return window.look(f"{field}/{{SPAN}}", SpanSettings(last=last)).fingerprint

    before, newest = digest(0), digest(1)
    (field / "3").mkdir()
    (field / "3" / "a.png").write_bytes(b"1")
    assert digest(0) != before
    assert digest(1) == newest


def test_data_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataPathError, match="there is no '.*nothing'"):
        resolved(tmp_path / "nothing", tmp_path)


def test_data_that_changed_since_the_run_began_stop_it(field: Path, tmp_path: Path) -> None:
    pattern = f"{field}/{{SPAN}}"
    was = window.look(pattern, SpanSettings()).fingerprint
    assert resolved(pattern, tmp_path, was=was)[1]["fingerprint"] == was
    (field / "11").mkdir()
    (field / "11" / "late.png").write_bytes(b"1")
    with pytest.raises(StageError, match=rf"must stay as they are while a run begins, .* has changed .*\({was}, now "):
        resolved(pattern, tmp_path, was=was)
