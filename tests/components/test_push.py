"""A push happens only with both blessings, once, and leaves a version that proves itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts

from applications.errors import OutputError
from applications.settings import SpanSettings
from applications.spec import Application
from components import DataWindow, Verdict
from components import push as pushing
from components.window import Window, look
from serving import considered, made_from, model_json, versions
from serving.versions import ModelFolder

VERDICT = {"verdict": "blessed", "sentence": "Accuracy 0.93 is above 0.90.", "checks": []}
METRICS = {"items": 800, "groups": 790, "metrics": {"accuracy": {"value": 0.93, "low": 0.91, "high": 0.94}}}


class World:
    """A trained model, its evidence, and a serving folder to push to."""

    def __init__(self, root: Path, application: Application) -> None:
        self.root = root
        self.application = application
        self.destination = root / "serving"
        self.folder = ModelFolder(destination=self.destination, model="test-chips")
        (root / "verdict").mkdir()
        (root / "verdict" / "verdict.json").write_text(json.dumps(VERDICT))
        (root / "verdict" / "metrics.json").write_text(json.dumps(METRICS))
        (root / "chips").mkdir()
        (root / "chips" / "a.png").write_bytes(b"1")
        self.window.write(root / "window")
        self.train("first")

    @property
    def window(self) -> Window:
        return look(str(self.root / "chips"), SpanSettings())

    def train(self, content: str) -> None:
        model = self.root / "model" / "Format-Serving"
        (model / "variables").mkdir(parents=True, exist_ok=True)
        (model / "saved_model.pb").write_text(content)
        (model / "variables" / "variables.index").write_text(content)

    def push(self, *, is_blessed: int = 1, is_fit: int = 1, keep: int = 0, **told: str) -> Any:
        kinds = {
            "model": standard_artifacts.Model,
            "model_blessing": standard_artifacts.ModelBlessing,
            "infra_blessing": standard_artifacts.InfraBlessing,
            "verdict": Verdict,
            "window": DataWindow,
            "pushed_model": standard_artifacts.PushedModel,
        }
        artifacts = {name: kind() for name, kind in kinds.items()}
        for name, artifact in artifacts.items():
            artifact.uri = str(self.root / name)
        artifacts["model_blessing"].set_int_custom_property("blessed", is_blessed)
        artifacts["infra_blessing"].set_int_custom_property("blessed", is_fit)
        pushing.Push.test_call(
            **artifacts,
            application=self.application.name,
            destination=str(self.destination),
            configuration=json.dumps({"version": 1, "train": {"epochs": 3}}),
            keep_versions=keep,
            **told,
        )
        return artifacts["pushed_model"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chips: Application) -> World:
    monkeypatch.setattr(pushing.discovery, "load", lambda name: chips)
    return World(tmp_path, chips)


def test_a_blessed_model_becomes_a_version_that_says_what_it_is(world: World) -> None:
    world.push()
    (version,) = world.folder.versions()
    about = model_json.verify(world.folder.version_path(version))
    assert (about.model, about.version, about.application) == ("test-chips", version, "test/chips")
    assert about.classes == world.application.classes
    assert about.metrics == {"accuracy": {"value": 0.93, "low": 0.91, "high": 0.94}}
    assert about.verdict == VERDICT
    assert about.configuration["train"] == {"epochs": 3}
    assert about.data == {"fingerprint": world.window.fingerprint, "test_items": 800, "test_groups": 790}
    assert set(about.files) == {"saved_model.pb", "variables/variables.index"}


def test_the_artifact_says_where_the_model_went_in_tfxs_own_words(world: World) -> None:
    pushed = world.push()
    version = world.folder.newest()
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == str(version)
    assert pushed.get_string_custom_property("pushed_destination") == str(
        world.destination / "test-chips" / str(version)
    )
    written = json.loads((world.root / "pushed_model" / "pushed.json").read_text())
    assert written == {"path": str(world.folder.version_path(version)), "version": version}
    assert model_json.read(world.root / "pushed_model").version == version


@pytest.mark.parametrize(
    ("blessings", "reasons"),
    [
        ({"is_blessed": 0}, ["Accuracy 0.93 is above 0.90."]),
        ({"is_fit": 0}, ["The exported model failed the serving check"]),
        ({"is_blessed": 0, "is_fit": 0}, ["Accuracy 0.93 is above 0.90.", "failed the serving check"]),
    ],
)
def test_without_both_blessings_nothing_is_pushed_and_the_reason_is_kept(
    world: World, blessings: dict[str, int], reasons: list[str]
) -> None:
    pushed = world.push(**blessings)
    assert world.folder.versions() == []
    assert pushed.get_int_custom_property("pushed") == 0
    reason = json.loads((world.root / "pushed_model" / "not_pushed.json").read_text())["reason"]
    assert all(each in reason for each in reasons)


def test_the_same_files_are_not_pushed_twice(world: World) -> None:
    first = world.push()
    again = world.push()
    assert len(world.folder.versions()) == 1
    assert again.get_string_custom_property("pushed_version") == first.get_string_custom_property("pushed_version")


def test_a_changed_model_is_a_new_version(world: World) -> None:
    world.push()
    world.train("second")
    world.push()
    first, second = world.folder.versions()
    assert (world.folder.version_path(first) / "saved_model.pb").read_text() == "first"
    assert (world.folder.version_path(second) / "saved_model.pb").read_text() == "second"


def test_a_broken_newest_version_is_replaced_by_a_new_one(world: World) -> None:
    world.push()
    (world.folder.version_path(world.folder.newest() or 0) / "saved_model.pb").write_text("bad")
    world.push()
    assert len(world.folder.versions()) == 2
    model_json.verify(world.folder.version_path(world.folder.newest() or 0))


def test_going_back_to_an_earlier_model_is_a_new_version(world: World) -> None:
    for content in ("first", "second", "first"):
        world.train(content)
        world.push()
    assert len(world.folder.versions()) == 3


def test_older_versions_beyond_the_limit_are_removed(world: World) -> None:
    for content in ("first", "second", "third"):
        world.train(content)
        world.push(keep=2)
    contents = [(world.folder.version_path(each) / "saved_model.pb").read_text() for each in world.folder.versions()]
    assert contents == ["second", "third"]


def test_a_destination_that_is_a_file_is_explained_and_kept(world: World) -> None:
    world.destination.write_text("mine")
    with pytest.raises(OutputError, match=r"set push\.destination to another folder"):
        world.push()
    assert world.destination.read_text() == "mine"


def test_a_push_interrupted_before_the_rename_leaves_no_version_and_a_repeated_one_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(versions, "_flush_tree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            world.push()
    assert list(world.folder.path.iterdir()) == []
    world.push()
    assert len(world.folder.versions()) == 1


def test_the_spans_behind_a_model_are_named(world: World) -> None:
    for span in (3, 12):
        (world.root / "field" / str(span)).mkdir(parents=True)
        (world.root / "field" / str(span) / "a.png").write_bytes(b"1")
    pattern = str(world.root / "field" / "{SPAN}")
    look(pattern, SpanSettings()).write(world.root / "window")
    world.push()
    about = model_json.read(world.folder.version_path(world.folder.newest() or 0))
    assert (about.data["pattern"], about.data["spans"]) == (pattern, ["3", "12"])


@pytest.mark.parametrize("is_blessed", [1, 0])
def test_it_is_noted_that_a_model_was_considered_pushed_or_not(world: World, is_blessed: int) -> None:
    world.push(is_blessed=is_blessed, made_from="m")
    noted = considered.read(world.folder)
    assert noted is not None
    assert (noted.made_from, noted.verdict) == ("m", "blessed")
    assert noted.pushed_version == (world.folder.newest() or 0)
    assert noted.ended_utc.endswith("Z")
    assert [path.name for path in world.folder.path.iterdir() if not path.name.isdigit()] == [".considered.json"]


def test_the_note_changes_neither_the_state_of_the_folder_nor_its_versions(world: World) -> None:
    before = versions.state(str(world.destination), "test-chips")
    world.push(is_blessed=0, made_from="m")
    assert versions.state(str(world.destination), "test-chips") == before
    assert (world.folder.versions(), world.folder.leftovers()) == ([], [])


def test_a_folder_that_cannot_be_written_to_is_only_a_warning_where_nothing_is_pushed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.destination.write_text("mine")
    world.push(is_blessed=0)
    assert "the next run will not see that nothing changed" in caplog.text


def test_where_it_is_not_told_the_stage_finds_out_what_the_model_is_made_from(world: World) -> None:
    world.push(made_with=json.dumps({"code_version": "c0de", "weights_digest": ""}))
    about = model_json.read(world.folder.version_path(world.folder.newest() or 0))
    wanted = made_from.digest({"version": 1, "train": {"epochs": 3}}, world.window.fingerprint, "c0de", "")
    assert about.made_from == wanted


def test_the_state_of_the_destination_leaves_out_what_is_made_from_the_same_things(world: World) -> None:
    before = versions.state(str(world.destination), "test-chips", "mine")
    about = pushing.describe(world.application, {}, world.window, pushing.read_evidence(world.root / "verdict"), "mine")
    pushing.push(world.root / "model" / "Format-Serving", world.folder, about, 0)
    assert versions.state(str(world.destination), "test-chips", "mine") == before
    assert versions.state(str(world.destination), "test-chips", "other") != before
