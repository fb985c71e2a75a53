from __future__ import annotations

import ast

import pytest

from applications import discovery
from applications.errors import DataError, DataPathError, UnknownName, UsageError
from pipeline import preflight
from pipeline.config import resolve
from pipeline.stage_names import STAGES


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
    with pytest.raises(UnknownName, match=r"no stage 'pusher'; there are: ingest, .*Did you mean 'push'"):
        preflight.check_stages(resolve(application), "", "pusher")
    with pytest.raises(UsageError, match="--from push --to ingest; the order is ingest"):
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
