import dataclasses
import json

import numpy as np
import pytest
from tfx.components.util import model_utils
from tfx.types import standard_artifacts

from applications import discovery
from applications.settings import BlessingSettings, EvaluateSettings
from components import artifacts, bless
from evaluation import predictions as table

APPLICATION = discovery.load("satellite/landcover")
RULES = BlessingSettings(at_least=0.8)


def settings(rules=RULES):
    return {"blessing": dataclasses.asdict(rules), "evaluate": dataclasses.asdict(EvaluateSettings(resamples=200))}


def artifact(kind, path):
    made = kind()
    made.uri = str(path)
    return made


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the stage on 200 answers of which 95 % are right, and returns its two artifacts."""
    labels = np.arange(200) % 10
    best = np.where(np.arange(200) % 20 == 7, (labels + 1) % 10, labels)
    found = table.Predictions(
        classes=APPLICATION.classes,
        origins=[str(each) for each in range(200)],
        sha256=["0" * 64] * 200,
        groups=[str(each) for each in range(200)],
        label_ids=labels,
        probabilities=np.eye(10)[best],
        slices={"label": [APPLICATION.classes[each] for each in labels], "brightness_band": ["dark"] * 200},
    )
    (tmp_path / "predictions").mkdir()
    table.write(found, str(tmp_path / "predictions" / table.FILE_NAME))
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").write_text('{"is_clean": true}')

    def call(rules=RULES, evaluated=0.95):
        monkeypatch.setattr(bless.eval_config, "read_metrics", lambda uri: {"accuracy": {"value": evaluated}})
        blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
        verdict = artifact(artifacts.Verdict, tmp_path / "verdict")
        bless.Bless.test_call(
            evaluation=artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation"),
            predictions=artifact(artifacts.Predictions, tmp_path / "predictions"),
            audit=artifact(artifacts.SplitAudit, tmp_path / "audit"),
            blessing=blessing,
            verdict=verdict,
            application=APPLICATION.name,
            settings=json.dumps(settings(rules)),
            code_version="",
        )
        return blessing, verdict

    return call


def written(verdict, tmp_path):
    return json.loads((tmp_path / "verdict" / f"{verdict}.json").read_text(encoding="utf-8"))


def test_a_blessed_model_is_blessed_as_tfx_reads_it(run, tmp_path):
    blessing, verdict = run()
    assert model_utils.is_model_blessed(blessing)
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == ["BLESSED"]
    assert verdict.get_string_custom_property("verdict") == "blessed"
    assert written("verdict", tmp_path)["sentence"].startswith("Blessed: accuracy 0.950 (95 % interval 0.91")


def test_a_model_that_cannot_be_told_is_not_pushed(run, tmp_path):
    blessing, verdict = run(dataclasses.replace(RULES, at_least=0.94))
    assert not model_utils.is_model_blessed(blessing)
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == ["NOT_BLESSED"]
    assert verdict.get_string_custom_property("verdict") == "cannot tell"
    assert blessing.get_string_custom_property("blessing_message") == written("verdict", tmp_path)["sentence"]


def test_a_disagreeing_evaluator_is_not_blessed(run, tmp_path):
    _, verdict = run(evaluated=0.93)
    assert verdict.get_string_custom_property("verdict") == "not blessed"
    assert "the evaluator and the predictions disagree" in written("verdict", tmp_path)["sentence"]


def test_metrics_lie_beside_the_verdict(run, tmp_path):
    run()
    metrics = written("metrics", tmp_path)
    assert metrics["items"] == 200
    assert {"label=Forest", "brightness_band=dark"} <= {each["slice"] for each in metrics["slices"]}
    assert metrics["tfma"]["accuracy"]["value"] == 0.95


def test_without_an_audit_nothing_is_blessed(run, tmp_path):
    (tmp_path / "audit" / "audit.json").unlink()
    run()
    assert written("verdict", tmp_path)["sentence"] == "Not blessed: there is no split audit."
