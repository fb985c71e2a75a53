"""Real TFX nodes through our launcher: cache, partial runs and failures. Launched in this process, not forked."""

import pytest

pytest.importorskip("tfx")

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from applications.errors import StageError, UnknownName
from pipeline import tfx_nodes


@component
def Write(text: Parameter[str], code_version: Parameter[str], out: OutputArtifact[standard_artifacts.String]):
    if text == "bad":
        raise StageError("the text is bad.")
    with open(out.uri, "w") as file:
        file.write(text)


@component
def Double(
    given: InputArtifact[standard_artifacts.String],
    code_version: Parameter[str],
    out: OutputArtifact[standard_artifacts.String],
):
    with open(given.uri) as source, open(out.uri, "w") as file:
        file.write(source.read() * 2)


def nodes(root, run_id, *, text="a", code="1", enable_cache=True):
    first = Write(text=text, code_version=code).with_id("write")
    second = Double(given=first.outputs["out"], code_version=code).with_id("double")
    made = Pipeline("tiny", str(root / "artifacts"), components=[first, second], enable_cache=enable_cache)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root / "metadata.sqlite")
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return tfx_nodes.compile_nodes(made, connection, run_id)


def run(compiled):
    return {stage: compiled.launch(stage) for stage in compiled.upstream if stage not in compiled.skipped}


def read(outcome, stage):
    with open(outcome[stage]["outputs"]["out"][0]) as file:
        return file.read()


def test_stages_pass_artifacts_on_and_an_unchanged_rerun_is_cached(tmp_path):
    first = run(nodes(tmp_path, "run1"))
    assert [first[stage]["state"] for stage in ("write", "double")] == ["done", "done"]
    assert read(first, "double") == "aa"
    second = run(nodes(tmp_path, "run2"))
    assert [second[stage]["state"] for stage in ("write", "double")] == ["cached", "cached"]
    assert read(second, "double") == "aa"


def test_changed_code_or_settings_are_not_answered_from_the_cache(tmp_path):
    run(nodes(tmp_path, "run1"))
    assert run(nodes(tmp_path, "run2", code="2"))["double"]["state"] == "done"
    assert read(run(nodes(tmp_path, "run3", text="b")), "double") == "bb"


def test_fresh_runs_everything_again(tmp_path):
    run(nodes(tmp_path, "run1"))
    assert run(nodes(tmp_path, "run2", enable_cache=False))["write"]["state"] == "done"


def test_a_refusal_reaches_the_caller_and_a_rerun_goes_on_after_it(tmp_path):
    with pytest.raises(StageError, match="the text is bad"):
        run(nodes(tmp_path, "run1", text="bad"))
    assert read(run(nodes(tmp_path, "run2")), "double") == "aa"


def test_starting_at_a_stage_reuses_what_came_before(tmp_path):
    run(nodes(tmp_path, "run1"))
    later = nodes(tmp_path, "run2", text="changed", code="2").starting_at("double", "run1")
    later.reuse_outputs("run1")
    outcome = run(later)
    assert list(outcome) == ["double"]
    assert read(outcome, "double") == "aa"


def test_up_to_a_stage_runs_nothing_behind_it(tmp_path):
    assert list(run(nodes(tmp_path, "run1").up_to("write"))) == ["write"]


def test_starting_without_an_earlier_run_says_what_to_do(tmp_path):
    with pytest.raises(StageError, match="takes the results of write over from an earlier run, and there is none"):
        nodes(tmp_path, "run1").starting_at("double", "")


def test_starting_at_the_first_stage_needs_no_earlier_run(tmp_path):
    compiled = nodes(tmp_path, "run1").starting_at("write", "")
    compiled.reuse_outputs("")
    assert list(run(compiled)) == ["write", "double"]


def test_an_unknown_stage_is_refused_with_a_near_name(tmp_path):
    with pytest.raises(UnknownName, match="no stage 'doubel'; there are: write, double. Did you mean 'double'"):
        nodes(tmp_path, "run1").up_to("doubel")


def test_between_two_stages_nothing_else_need_have_been_done(tmp_path):
    run(nodes(tmp_path, "run1").up_to("write"))
    later = nodes(tmp_path, "run2", text="changed", code="2").up_to("write").starting_at("write", "run1")
    later.reuse_outputs("run1")
    assert list(run(later)) == ["write"]


def test_a_base_that_did_not_get_so_far_is_told_with_the_stage_it_lacks(tmp_path):
    with pytest.raises(StageError, match="the text is bad"):
        run(nodes(tmp_path, "failed", text="bad"))
    for base in ("failed", "unknown"):
        with pytest.raises(StageError, match=f"the results of write over from run {base}, but the metadata knows of n"):
            nodes(tmp_path, "run2").starting_at("double", base).reuse_outputs(base)
