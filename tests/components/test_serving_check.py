"""The serving check passes a model that keeps the contract and says by how much another one breaks it."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tfx.types import standard_artifacts

import components
from applications.settings import ServingCheckSettings
from components.serving_check import checks, clean_process, component, isolation, requests
from components.serving_check.checks import Plan
from components.serving_check.isolation import CleanProcess
from components.serving_check.requests import Item
from schemas import features

tf = pytest.importorskip("tensorflow")

CLASSES = ("red", "green", "blue")
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


class Colours(tf.Module):
    """The smallest model that keeps the SavedModel contract: the class of an image is its strongest colour."""

    def __init__(self, *, reads_files: bool = False) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.eye(3) * 8.0)
        self.reads_files = reads_files

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def predict_image(self, image: Any) -> dict[str, Any]:
        count = tf.shape(image)[0]
        decoded = tf.data.Dataset.from_tensor_slices((tf.range(count), image)).map(self._mean_colour).ignore_errors()
        padding = tf.data.Dataset.from_tensors((count, tf.zeros([3])))
        places, means = decoded.concatenate(padding).batch(tf.cast(count + 1, tf.int64)).get_single_element()
        colours = tf.tensor_scatter_nd_update(tf.zeros([count + 1, 3]), places[:, None], means)[:count]
        is_read = tf.tensor_scatter_nd_update(tf.zeros([count + 1], tf.bool), places[:, None], places < count)[:count]
        probabilities = tf.where(is_read[:, None], tf.nn.softmax(colours @ self.weights), 0.0)
        best = tf.argmax(probabilities, axis=1)
        return {
            "probabilities": probabilities,
            "classes": tf.tile(tf.constant([CLASSES]), [count, 1]),
            "label": tf.where(is_read, tf.gather(tf.constant(CLASSES), best), ""),
            "label_id": tf.where(is_read, best, -1),
            "score": tf.reduce_max(probabilities, axis=1),
            "reason": tf.where(is_read, "", "the image cannot be decoded"),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: Any) -> dict[str, Any]:
        parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string, "")})
        image = parsed[features.IMAGE]
        if self.reads_files:
            image = tf.map_fn(lambda each: each if tf.strings.length(each) > 4 else tf.io.read_file(each), image)
        return self.predict_image(image)

    @staticmethod
    def _mean_colour(place: Any, content: Any) -> tuple[Any, Any]:
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
        return place, tf.reduce_mean(tf.cast(image, tf.float32) / 255, axis=[0, 1])


def export(module: Colours, folder: Path) -> Path:
    signatures = {"serving_default": module.serving_default, "predict_image": module.predict_image}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def chip(label: str, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(-30, 30, (32, 32, 3))
    pixels = tf.constant(np.clip(np.array(COLOURS[label]) + noise, 0, 255), tf.uint8)
    return (tf.io.encode_jpeg(pixels) if seed % 2 else tf.io.encode_png(pixels)).numpy()


def example(label: str, seed: int) -> Any:
    values = {
        features.IMAGE: chip(label, seed),
        features.LABEL: label.encode(),
        features.SHA256: f"{seed:064x}".encode(),
        features.ORIGIN: f"{label}/{seed}.jpg".encode(),
    }
    built = tf.train.Example()
    for key, value in values.items():
        built.features.feature[key].bytes_list.value.append(value)
    built.features.feature[features.LABEL_ID].int64_list.value.append(CLASSES.index(label))
    return built


def write_split(folder: Path, seeds: range) -> None:
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for seed in seeds:
            writer.write(example(CLASSES[seed % 3], seed).SerializeToString())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model/Format-Serving`, `examples` and `model_run`, all of which fit together."""
    root = tmp_path_factory.mktemp("world")
    module = Colours()
    export(module, root / "model" / "Format-Serving")
    write_split(root / "examples" / "Split-test", range(100, 140))
    write_split(root / "examples" / "Split-validation", range(200, 212))
    answer = module.predict_image(tf.constant([chip(CLASSES[seed % 3], seed) for seed in range(200, 208)]))
    predictions = {
        "sha256": [f"{seed:064x}" for seed in range(200, 208)],
        "probabilities": answer["probabilities"].numpy().tolist(),
    }
    (root / "model_run").mkdir()
    (root / "model_run" / component.TRAINER_FILE).write_text(json.dumps(predictions))
    return root


@pytest.fixture(scope="module")
def plan(world: Path) -> Plan:
    return component.make_plan(CLASSES, world / "examples", world / "model_run", ServingCheckSettings(requests=36))


@pytest.fixture(scope="module")
def record(world: Path, plan: Plan) -> dict[str, Any]:
    """What a real clean process writes down about the model of `world`."""
    batches = {checks.ONE: 1, checks.TWO: 2}
    with CleanProcess(120) as process:
        return process.ask(world / "model" / "Format-Serving", plan.calls, checks.SIGNATURES, batches)


class Fake:
    """A clean process that answers with a record made before; without one it must not be asked."""

    def __init__(self, record: dict[str, Any] | None = None) -> None:
        self.record = record

    def __call__(self, timeout_s: float) -> Fake:
        return self

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, *_: object) -> dict[str, Any]:
        assert self.record is not None, "the model was loaded"
        return self.record


@pytest.fixture
def changed(record: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(record)


def failed(record: dict[str, Any], plan: Plan) -> dict[str, str]:
    return {check.name: check.detail for check in checks.judge(record, plan) if not check.passed}


def test_items_have_no_label_and_are_the_same_ones_each_time(world: Path) -> None:
    items = requests.sample(world / "examples" / "Split-test", 5)
    assert [item.sha256 for item in items] == [f"{seed:064x}" for seed in range(100, 105)]
    feature = tf.train.Example.FromString(items[0].example).features.feature
    assert set(feature) == {features.IMAGE, features.SHA256, features.ORIGIN}
    assert items[0].image == chip("green", 100)


def test_damaged_items_stand_between_sound_ones(world: Path) -> None:
    mixed = requests.with_damage(requests.sample(world / "examples" / "Split-test", 2))
    damages = [item.damage for item in mixed]
    assert damages == ["", "empty", "", "garbage", "", "truncated", "", "corrupted in the middle"]
    assert mixed[1].image == b""
    assert len(mixed[5].image) == len(mixed[0].image) // 2
    assert len(mixed[7].image) == len(mixed[0].image)
    assert mixed[7].image != mixed[0].image
    feature = tf.train.Example.FromString(mixed[3].example).features.feature
    assert feature[features.IMAGE].bytes_list.value[0] == mixed[3].image


def test_a_model_that_keeps_the_contract_passes_in_a_clean_process(record: dict[str, Any], plan: Plan) -> None:
    found = checks.judge(record, plan)
    assert [check.detail for check in found if not check.passed] == []
    assert len(found) == 9
    assert record["foreign_modules"] == []
    assert checks.trainer_difference(record, plan) < 1e-5
    for signature in checks.SIGNATURES:
        assert 0 < record["latency_ms"][signature]["p50"] <= record["latency_ms"][signature]["p99"] < 1000
    assert 100 < record["memory_mib"] < 2000
    assert record["answers"][checks.TEST]["predict_image"]["label"][0] == "green"


def test_a_fit_model_is_blessed_as_tfx_expects(
    world: Path, record: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        component.discovery, "load", lambda name: dataclasses.make_dataclass("A", [("classes", tuple)])(CLASSES)
    )
    monkeypatch.setattr(component, "CleanProcess", Fake(record))
    inputs = {
        "model": standard_artifacts.Model,
        "examples": standard_artifacts.Examples,
        "model_run": standard_artifacts.ModelRun,
    }
    outputs = {"blessing": standard_artifacts.InfraBlessing, "report": components.ServingReport}
    artifacts = {name: kind() for name, kind in {**inputs, **outputs}.items()}
    for name, artifact in artifacts.items():
        artifact.uri = str((world if name in inputs else tmp_path) / name)
    settings = json.dumps({"serving_check": {"requests": 36}, "image": {}})
    component.ServingCheck.test_call(**artifacts, application="a/b", settings=settings, code_version="1")
    assert (tmp_path / "blessing" / "INFRA_BLESSED").exists()
    assert artifacts["blessing"].get_int_custom_property("blessed") == 1
    written = json.loads((tmp_path / "report" / "serving_check.json").read_text())
    assert written["passed"] is True
    assert written["sentence"].startswith("Fit to serve: all 10 checks passed")
    assert {"DecodeImage", "IgnoreErrorsDataset", "ParseExampleV2"} <= set(written["ops"])
    assert set(written["latency_ms"]) == {"serving_default", "predict_image"}
    assert written["max_probability_difference"] < 1e-5


def test_a_model_that_reads_files_is_refused_without_being_loaded(tmp_path: Path, plan: Plan) -> None:
    result = component.check(export(Colours(reads_files=True), tmp_path / "model"), plan, Fake())
    component.write_result(result, tmp_path / "blessing", tmp_path / "report")
    assert result["passed"] is False
    assert "graph ops: ReadFile in node" in result["sentence"]
    assert "reads or writes files of the machine that serves" in result["sentence"]
    assert (tmp_path / "blessing" / "INFRA_NOT_BLESSED").exists()
    assert result["memory_mib"] is None


def test_a_model_that_differs_from_the_trainer_fails_with_value_and_limit(record: dict[str, Any], plan: Plan) -> None:
    other = dataclasses.replace(plan, trainer=plan.trainer + np.float32([0.02, -0.02, 0]))
    text = failed(record, other)["trainer agrees"]
    assert "of 8 validation items is 0.02 (serving_default, item" in text
    assert text.endswith("above 0.001")


def test_a_trainer_that_wrote_no_predictions_fails_as_nothing_can_be_compared(
    world: Path, record: dict[str, Any], tmp_path: Path
) -> None:
    plan = component.make_plan(CLASSES, world / "examples", tmp_path, ServingCheckSettings(requests=36))
    assert "the trainer wrote no trainer_predictions.json" in failed(record, plan)["trainer agrees"]


def test_a_prediction_of_an_item_that_is_not_in_the_split_fails_although_the_others_agree(
    world: Path, record: dict[str, Any], tmp_path: Path
) -> None:
    predictions = json.loads((world / "model_run" / component.TRAINER_FILE).read_text())
    predictions["sha256"].append("f" * 64)
    predictions["probabilities"].append([1.0, 0.0, 0.0])
    (tmp_path / component.TRAINER_FILE).write_text(json.dumps(predictions))
    plan = component.make_plan(CLASSES, world / "examples", tmp_path, ServingCheckSettings(requests=36))
    text = failed(record, plan)["trainer agrees"]
    assert "must be in the validation split, but 1 of 9 are not, such as ffffffffffff. Train again" in text


def test_signatures_that_disagree_fail(changed: dict[str, Any], plan: Plan) -> None:
    changed["answers"][checks.TEST]["predict_image"]["probabilities"][3] = [0.5, 0.25, 0.25]
    assert "between serving_default and predict_image" in failed(changed, plan)["signatures agree"]


def test_an_answer_that_depends_on_the_batch_size_fails(changed: dict[str, Any], plan: Plan) -> None:
    changed["answers"][checks.TWO]["predict_image"]["probabilities"][1] = [1.0, 0.0, 0.0]
    assert "(predict_image, two at a time, item 1)" in failed(changed, plan)["batch size does not matter"]


def test_nan_probabilities_fail(changed: dict[str, Any], plan: Plan) -> None:
    changed["answers"][checks.TEST]["predict_image"]["probabilities"][0][0] = float("nan")
    found = failed(changed, plan)
    assert "must be 0 or above and sum to 1" in found["answers are sound"]
    assert "is inf" in found["signatures agree"]


@pytest.mark.parametrize(
    ("output", "value", "text"),
    [
        ("label", "red", "label 'red' (1) is not the class with the highest probability"),
        ("label_id", 7, "(7) is not the class"),
        ("score", 0.1, "score must be the highest probability"),
        ("classes", ["red", "blue", "green"], "classes must be red, green, blue, got red, blue, green"),
        ("reason", "too dark", "a readable image was refused ('too dark')"),
        ("probabilities", [0.5, 0.5], "probabilities must be 3 numbers"),
    ],
)
def test_outputs_that_do_not_fit_together_fail(
    changed: dict[str, Any], plan: Plan, output: str, value: Any, text: str
) -> None:
    changed["answers"][checks.TEST]["serving_default"][output][0] = value
    wrong = checks._unsound(checks.Answers(changed), CLASSES, (checks.TEST, "serving_default", 0))
    assert text in wrong


def test_an_unreadable_image_that_is_answered_fails(changed: dict[str, Any], plan: Plan) -> None:
    changed["answers"][checks.UNREADABLE]["predict_image"]["reason"][3] = ""
    text = failed(changed, plan)["unreadable images get a null answer"]
    assert "predict_image, place 3 (garbage): must have a reason" in text


def test_an_unreadable_image_that_changes_its_neighbour_fails(changed: dict[str, Any], plan: Plan) -> None:
    changed["answers"][checks.UNREADABLE]["predict_image"]["probabilities"][2] = [0.0, 0.0, 1.0]
    text = failed(changed, plan)["unreadable images get a null answer"]
    assert "predict_image, place 2 (sound): the sound image beside it changed its answer" in text


def test_a_batch_that_fails_as_a_whole_is_a_failed_check(changed: dict[str, Any], plan: Plan) -> None:
    changed["errors"] = {checks.UNREADABLE: {"predict_image": "Unknown image file format"}}
    text = failed(changed, plan)["unreadable images get a null answer"]
    assert text == "predict_image failed on unreadable images: Unknown image file format"


def test_a_slow_or_large_model_fails_with_value_and_limit(changed: dict[str, Any], plan: Plan) -> None:
    changed["latency_ms"]["predict_image"]["p99"] = 1500.0
    changed["memory_mib"] = 5000.0
    found = failed(changed, plan)
    assert found["latency"].endswith("p99 1500.0 ms; p99 above 1000 ms")
    assert found["memory"] == "peak resident memory is 5000 MiB, above 4096 MiB"


def test_a_missing_signature_or_a_fixed_batch_stops_the_comparison(changed: dict[str, Any], plan: Plan) -> None:
    del changed["signatures"]["predict_image"]
    changed["signatures"]["serving_default"]["outputs"]["probabilities"][1] = [1, 3]
    found = failed(changed, plan)
    assert "predict_image is missing; there are serving_default" in found["signatures"]
    assert "probabilities must have 2 dimensions with a free batch, got shape [1, 3]" in found["signatures"]
    assert len(checks.judge(changed, plan)) == 2


def test_foreign_modules_fail(changed: dict[str, Any], plan: Plan) -> None:
    changed["foreign_modules"] = ["keras", "tfx"]
    assert "the model also asked for keras, tfx" in failed(changed, plan)["needs only TensorFlow"]
    assert "tfx" in clean_process.foreign_modules()  # this very process has it


def test_a_process_that_hangs_is_stopped_and_says_so(tmp_path: Path) -> None:
    script = tmp_path / "hangs.py"
    script.write_text("import time; time.sleep(60)")
    text = r"within serving_check\.timeout_s=0\.5 \(seconds\), but was still"
    with CleanProcess(0.5, script) as process, pytest.raises(isolation.CleanProcessError, match=text):
        process.hand_over("{}")


def test_a_process_that_gets_no_task_is_ended(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text("import sys; sys.stdin.read(); import time; time.sleep(60)")
    with CleanProcess(60, script) as process:
        assert process._process.poll() is None
    assert process._process.returncode == -9
    assert not Path(process._folder.name).exists()


def test_the_first_call_of_a_size_is_a_warm_up() -> None:
    latency, per_s = clean_process.measured({32: [9.0, 0.5, 0.25], 1: [9.0, 0.001, 0.003], 2: [0.1]})
    assert latency["p50"] == pytest.approx(2)
    assert 2 < latency["p99"] <= 3
    assert per_s == pytest.approx(32 / 0.375)
    assert clean_process.measured({1: [0.5]}) == ({"p50": 500, "p99": 500}, 2)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise ValueError('no such op')", "ended with exit code 1: ValueError: no such op"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9; signal 9 mostly means that memory ran out"),
    ],
)
def test_a_process_that_dies_is_a_failed_check_and_no_crash(
    tmp_path: Path, world: Path, plan: Plan, code: str, text: str
) -> None:
    script = tmp_path / "dies.py"
    script.write_text(code)
    with CleanProcess(60, script) as process:
        result = component.check(world / "model" / "Format-Serving", plan, process)
    assert text in result["sentence"]
    assert result["passed"] is False


def test_the_clean_process_sees_none_of_our_environment(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    script = tmp_path / "prints.py"
    script.write_text(
        "import json, os, sys\n"
        "json.dump([sorted(os.environ), sys.path, sys.flags.isolated], open(sys.stdin.read(), 'w'))"
    )
    with CleanProcess(30, script) as process:
        process.hand_over(str(tmp_path / "seen.json"))
    names, path, isolated = json.loads((tmp_path / "seen.json").read_text())
    assert isolated == 1
    assert not {"PYTHONPATH", "TF_USE_LEGACY_KERAS"} & set(names)
    assert str(tmp_path) not in path


def test_threads_leave_half_of_the_cores_to_others() -> None:
    assert 1 <= isolation.fair_threads() <= max(1, (__import__("os").cpu_count() or 1) // 2)


def test_an_empty_test_split_is_explained(world: Path, plan: Plan) -> None:
    nothing = dataclasses.replace(plan, calls={checks.TEST: []})
    result = component.check(world / "model" / "Format-Serving", nothing, Fake())
    assert "requests: the test split is empty" in result["sentence"]


def test_importing_the_script_imports_no_tensorflow() -> None:
    source = Path(clean_process.__file__).read_text(encoding="utf-8")
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    names = {line.split()[1].partition(".")[0] for line in imports}
    assert names - set(sys.stdlib_module_names) == {"numpy"}


def test_items_are_compared_by_content(plan: Plan) -> None:
    assert all(isinstance(item, Item) and len(item.sha256) == 64 for item in plan.calls[checks.TEST])
    assert plan.trainer.shape == (8, 3)
    assert [item.sha256[-2:] for item in plan.calls[checks.TRAINER]] == [f"{seed:02x}" for seed in range(200, 208)]
