"""The wiring of the real stages, compiled but not run."""

from __future__ import annotations

import dataclasses
import json

import pytest

pytest.importorskip("tfx")

from tfx.dsl.experimental.conditionals import conditional

from applications import discovery
from evaluation.report import diagrams
from pipeline import build
from pipeline import config as configuration
from pipeline.scheduler import ancestors
from pipeline.stage_names import STAGES
from pipeline.stages import Placement

APPLICATION = discovery.load("satellite/landcover")
PLACEMENT = Placement(
    artifacts="artifacts",
    destination="serving",
    data_fingerprint="d",
    baseline_state="b",
    pushed_state="p",
    made_from="m",
)


def pipeline(*overrides):
    config = configuration.resolve(APPLICATION, data="chips", overrides=overrides)
    return build.create_pipeline(APPLICATION, config, PLACEMENT)


def upstream(made):
    return {node.id: [up.id for up in node.upstream_nodes] for node in made.components}


def properties(made, stage):
    return next(node for node in made.components if node.id == stage).exec_properties


@pytest.mark.parametrize("tune", ["false", "true"])
def test_the_picture_in_the_report_shows_what_each_stage_waits_for(tune):
    real = upstream(pipeline(f"tune.enabled={tune}"))
    drawn = {name: [start for start, end in diagrams.arrows(real) if end == name] for name in real}
    assert {name: ancestors(drawn, name) for name in drawn} == {name: ancestors(real, name) for name in real}


def test_every_stage_has_the_name_that_the_command_line_knows():
    assert sorted(upstream(pipeline("tune.enabled=true"))) == sorted(STAGES)


def test_every_stage_of_ours_says_which_code_is_behind_it():
    made = pipeline("tune.enabled=true")
    for stage in set(upstream(made)) - {"schema"}:
        found = properties(made, stage)
        version = found.get("code_version") or json.loads(found["custom_config"])["code_version"]
        assert len(version) == 16, stage


def test_other_starting_weights_under_the_same_name_train_anew(tmp_path):
    start, listed = tmp_path / "start.weights.h5", tmp_path / "start.learnt_from.txt"
    configs = []
    for file, content in ((start, b"1"), (start, b"2"), (listed, b"a")):
        file.write_bytes(content)
        configs.append(properties(pipeline(f"train.weights={start}"), "train")["custom_config"])
    assert len(set(configs)) == 3


def test_the_window_depends_on_the_data_and_the_spans_alone_so_that_ingest_stays_cached():
    made = pipeline()
    for overrides in (("train.epochs=3",), ("split.seed=9",), ("push.keep_versions=2",)):
        assert properties(pipeline(*overrides), "spans") == properties(made, "spans")
    assert properties(pipeline("spans.last=3"), "spans") != properties(made, "spans")


def test_where_the_made_from_is_known_no_stage_is_told_how_to_find_it_out():
    for stage in ("baseline", "push"):
        found = properties(pipeline(), stage)
        assert (found["made_from"], found["made_with"]) == ("m", "")
    assert "configuration" not in properties(pipeline(), "baseline")


def test_all_stages_behind_the_baseline_can_hang_on_it():
    config = configuration.resolve(APPLICATION, data="chips")
    asked = dataclasses.replace(PLACEMENT, made_from="", skips_unchanged=True)
    made = build.create_pipeline(APPLICATION, config, asked)
    registry = made.dsl_context_registry
    hanging = {node.id for node in made.components if conditional.get_predicates(node, registry)}
    assert hanging == {node.id for node in made.components} - {"spans", "baseline"}
    assert json.loads(properties(made, "push")["made_with"]).keys() == {"code_version", "weights_digest"}


def test_only_the_baseline_and_the_push_notice_a_pushed_version():
    later = dataclasses.replace(PLACEMENT, baseline_state="other", pushed_state="other")
    config = configuration.resolve(APPLICATION, data="chips")
    before, after = (build.create_pipeline(APPLICATION, config, placement) for placement in (PLACEMENT, later))
    changed = {node.id for node in before.components if properties(after, node.id) != properties(before, node.id)}
    assert changed == {"baseline", "push"}


def test_train_waits_for_the_baseline_only_where_it_starts_from_it():
    cold, warm = (next(node for node in pipeline(f"train.warm_start={is_warm}").components if node.id == "train")
                  for is_warm in ("false", "true"))  # fmt: skip
    assert "baseline" not in {node.id for node in cold.upstream_nodes}
    assert "base_model" not in cold.inputs
    assert warm.inputs["base_model"].producer_component_id == "baseline"
