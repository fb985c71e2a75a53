from __future__ import annotations

import ast

import pytest

from applications import discovery
from applications.errors import DataError, DataPathError, UnknownName, UsageError
from pipeline import preflight
from pipeline.config import resolve, sections, to_dict
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord
from pipeline.stage_names import SECTIONS_OF_STAGE, STAGES


@pytest.fixture
def application():
    return discovery.load("satellite/landcover")


def test_the_names_of_the_stages_are_those_of_the_pipeline(project):
    tree = ast.parse((project / "pipeline/stages.py").read_text(encoding="utf-8"))
    [known] = [node for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "BUILDERS"]
    assert isinstance(known.value, ast.Dict)
    assert tuple(ast.literal_eval(key) for key in known.value.keys) == STAGES


def test_tune_can_be_named_only_where_it_is_asked_for(application):
    with pytest.raises(UsageError, match=r"add --set tune.enabled=true"):
        preflight.check_stages(resolve(application), "tune", "")
    preflight.check_stages(resolve(application, overrides=["tune.enabled=true"]), "tune", "train")


def test_unknown_stages_and_the_wrong_order_are_refused(application):
    with pytest.raises(UnknownName, match=r"no stage 'pusher'; there are: spans, .*Did you mean 'push'"):
        preflight.check_stages(resolve(application), "", "pusher")
    with pytest.raises(UsageError, match="--from push --to ingest; the order is spans"):
        preflight.check_stages(resolve(application), "push", "ingest")


def test_ready_records_need_a_folder_that_is_not_empty(application, tmp_path):
    def check(path):
        config = resolve(application, data=str(path), overrides=["ingest.format=tfrecord"])
        return preflight.check_data(application, config)

    with pytest.raises(DataPathError, match="there is no"):
        check(tmp_path / "none")
    with pytest.raises(DataError, match="is empty"):
        check(tmp_path)
    (tmp_path / "x.gz").write_bytes(b"x")
    assert check(tmp_path) is None
    with pytest.raises(DataPathError, match="is a file"):
        check(tmp_path / "x.gz")


def test_the_machine_and_the_versions_are_told():
    machine, versions = preflight.machine(), preflight.versions()
    assert machine["cores"] >= 1
    assert 0.1 < machine["memory_gib"] < 100_000
    assert versions["python"].startswith("3.")


def test_the_sections_of_each_stage_are_those_it_reads(project):
    tree = ast.parse((project / "pipeline/stages.py").read_text(encoding="utf-8"))
    known = set(sections())
    found = {}
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            found[function.name.replace("_", "-")] = {
                argument.value
                for call in ast.walk(function)
                if isinstance(call, ast.Call)
                and ast.unparse(call.func) in ("wiring.settings", "_custom_config", "_training_inputs")
                for argument in call.args
                if isinstance(argument, ast.Constant)
            }
    named = {stage: names & known for stage, names in found.items() if names}
    assert {stage: set(names) for stage, names in SECTIONS_OF_STAGE.items()} == named


@pytest.fixture
def base(application, tmp_path):
    config = resolve(application, data="chips")
    stages = [*(name for name in STAGES[: STAGES.index("tune")] if name != "baseline"), "train"]
    record = RunRecord.create(
        tmp_path,
        application.name,
        to_dict(config),
        run_id="20260101T000000Z",
        stages=stages,
        data={"path": "chips", "fingerprint": "abc", "items": 9},
    )
    for stage in stages:
        record.stage(stage, state="done")
    record.finish("complete")
    return OutputFolder(tmp_path)


def test_a_partial_run_builds_on_the_newest_run_of_the_same_data_and_settings(application, base):
    config = resolve(application, data="chips", overrides=["blessing.at_least=0.5"])
    assert preflight.base_run(base, config, "abc", "baseline", "predict") == "20260101T000000Z"


def test_a_partial_run_without_a_fitting_base_names_the_stages_it_lacks(application, base, tmp_path):
    config = resolve(application, data="chips")
    with pytest.raises(
        UsageError, match="but run 20260101T000000Z lacks baseline, evaluate, predict. Run once without --from"
    ):
        preflight.base_run(base, config, "abc", "bless", "bless")
    with pytest.raises(
        UsageError,
        match="--from train takes the results of spans, ingest, split-audit, .* over from .* but there is no run yet",
    ):
        preflight.base_run(OutputFolder(tmp_path / "none"), config, "abc", "train")


def test_a_partial_run_needs_what_its_stages_depend_on_and_no_more(application, base):
    config = resolve(application, data="chips")
    assert preflight.base_run(base, config, "abc", "transform", "transform") == "20260101T000000Z"
    assert preflight.base_run(base, config, "abc", "ingest") == ""
    with pytest.raises(
        UsageError,
        match="takes the results of spans, .*evaluate, predict, serving-check over .* lacks .*evaluate, predict",
    ):
        preflight.base_run(base, config, "abc", "split-audit")  # `bless` behind it waits for them too


def test_a_partial_run_refuses_a_base_that_was_trained_otherwise(application, base):
    config = resolve(application, data="chips", overrides=["train.epochs=7"])
    with pytest.raises(UsageError, match=r"whose stage train had train.epochs=\d+, not 7. Give --from train"):
        preflight.base_run(base, config, "abc", "baseline", "predict")
    assert preflight.base_run(base, config, "abc", "train") == "20260101T000000Z"


def test_a_partial_run_refuses_a_base_of_other_data(application, base):
    with pytest.raises(UsageError, match="which read other data"):
        preflight.base_run(base, resolve(application, data="others"), "xyz", "train")


def test_starting_weights_that_are_not_there_are_refused_at_once(application, tmp_path):
    missing = tmp_path / "no.weights.h5"
    with pytest.raises(UsageError, match=rf"train.weights must name an existing .weights.h5 file, got '{missing}'"):
        preflight.check_weights(resolve(application, overrides=[f"train.weights={missing}"]))
    missing.touch()
    preflight.check_weights(resolve(application, overrides=[f"train.weights={missing}"]))


def test_a_cluster_needs_raw_data_that_are_named(application):
    with pytest.raises(UsageError, match="compile needs the data as the pods see them.*Give --data PATH"):
        preflight.check_for_cluster(resolve(application))
    with pytest.raises(UsageError, match=r"ingest.format must be 'raw' for Kubeflow Pipelines, got 'tfrecord'"):
        preflight.check_for_cluster(resolve(application, data="/chips", overrides=["ingest.format=tfrecord"]))
    preflight.check_for_cluster(resolve(application, data="/chips"))
    with pytest.raises(
        UsageError, match=r"push.destination must be a folder .* or on a mounted volume, got 's3://b/x'"
    ):
        preflight.check_for_cluster(resolve(application, data="/chips", overrides=["push.destination=s3://b/x"]))


@pytest.fixture
def field(application, tmp_path):
    for span in (1, 2):
        for name in application.classes:
            (tmp_path / "field" / str(span) / name).mkdir(parents=True)
            for number in range(3):
                (tmp_path / "field" / str(span) / name / f"{number}.jpg").write_bytes(b"jpeg")
    return tmp_path / "field"


def test_the_spans_that_are_read_are_looked_at_together(application, field):
    def items(last):
        config = resolve(application, data=f"{field}/{{SPAN}}", overrides=[f"spans.last={last}"])
        return preflight.check_data(application, config)

    count = 3 * len(application.classes)
    assert (items(0), items(1)) == (2 * count, count)
    for path in (field / "2" / "River").iterdir():
        path.unlink()
    (field / "2" / "River").rmdir()
    assert items(0) == 2 * count - 3  # span 1 has rivers
    with pytest.raises(DataError, match=r"field/2: class folder 'River' is missing"):
        items(1)


def test_what_is_wrong_in_one_span_is_told_with_its_name(application, field):
    (field / "2" / "Rivr").mkdir()
    with pytest.raises(DataError, match=r"field/2: folder 'Rivr' is no class .*Did you mean 'River'"):
        preflight.check_data(application, resolve(application, data=f"{field}/{{SPAN}}"))


def test_a_cluster_is_told_of_a_pattern_that_means_nothing(application):
    with pytest.raises(UsageError, match="Did you mean '{SPAN}'"):
        preflight.check_for_cluster(resolve(application, data="/earthloop/{SPN}"))
    preflight.check_for_cluster(resolve(application, data="/earthloop/{SPAN}"))


def test_a_serving_folder_that_nothing_can_be_pushed_to_is_told_before_anything_starts(application, tmp_path):
    (tmp_path / "file").touch()

    def check(destination):
        preflight.check_destination(resolve(application, overrides=[f"push.destination={destination}"]))

    check("")
    check(tmp_path / "new" / "serving")
    with pytest.raises(UsageError, match=r"got '.*/file/serving', but .*/file is a file\."):
        check(tmp_path / "file" / "serving")
    with pytest.raises(
        UsageError, match="must be a folder on this machine or on a mounted volume, got 's3://b/serving'"
    ):
        check("s3://b/serving")
