"""Figures, sentences, words and the card."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from evaluation.report import card, diagrams, figures, findings, svg, words

ESTIMATE = {"value": 0.9, "low": 0.8, "high": 0.95}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 26, [0, 10, 20]),
        (0.0, 0.002, [0, 0.0005, 0.001, 0.0015, 0.002]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_and_within_the_range(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high, 4) == pytest.approx(expected)


def test_scale_holds_values_within_its_ends() -> None:
    scale = svg.Scale(low=0, high=10, start=100, end=200)
    assert [scale(value) for value in (-5, 0, 5, 10, 50)] == [100, 100, 150, 200, 200]
    assert svg.Scale(low=1, high=1, start=0, end=10)(1) == 5


def test_interval_bar_draws_value_interval_and_limit_where_they_are() -> None:
    picture = ET.fromstring(figures.interval(ESTIMATE, limit=0.5))
    dot, span, limit = (next(part for part in picture if part.get("class") == css) for css in ("dot", "span", "limit"))
    assert float(dot.get("cx", "")) == pytest.approx(4 + 0.9 * 112, abs=0.05)
    assert (float(span.get("x1", "")), float(span.get("x2", ""))) == pytest.approx((93.6, 110.4), abs=0.05)
    assert float(limit.get("x1", "")) == 60
    assert picture.get("aria-label") == "0.900, interval 0.800 to 0.950, limit 0.500"


@pytest.mark.parametrize("found", [None, {}, {"value": None}, {"value": float("nan"), "low": 0.1, "high": 0.2}])
def test_interval_without_a_value_is_empty(found: Any) -> None:
    assert figures.interval(found) == ""


def test_every_figure_of_a_report_is_well_formed_and_labelled(report: dict[str, Any]) -> None:
    metrics, run = report["metrics"], report["run"]
    shown = [
        figures.reliability(metrics["calibration"]),
        figures.curves(report["training"]["epochs"], ("loss", "val_loss"), "Loss", 18),
        figures.class_shares(report["audit"]["splits"], report["application"]["classes"]),
        figures.compared(list(metrics["baseline"]["difference"].items()), "Difference", (-0.1, 0.1)),
        diagrams.lineage(*findings.lineage(report)),
        diagrams.timeline(run["stages"]),
    ]
    for picture in shown:
        root = ET.fromstring(picture)
        assert root.get("role") == "img"
        assert len(root.get("aria-label", "")) > 5
        assert "nan" not in picture


def test_splits_differ_by_shape_as_well_as_colour() -> None:
    assert [figures.marker(0, 0, place).split()[0] for place in range(3)] == ["<circle", "<rect", "<polygon"]


def test_bars_of_the_timeline_start_when_their_stage_did() -> None:
    stages = [
        {"name": "a", "state": "done", "wall_s": 10, "started_utc": "2026-11-21T03:45:00Z"},
        {"name": "b", "state": "failed", "wall_s": 10, "started_utc": "2026-11-21T03:45:10Z"},
    ]
    bars = ET.fromstring(diagrams.timeline(stages)).findall("rect")
    assert [float(bar.get("x", "")) for bar in bars] == [96, 201]
    assert bars[1].get("class") == "fill bad"


def test_lineage_leaves_tuning_out_when_it_is_off() -> None:
    states = {"transform": "done", "train": "cached"}
    assert "tune" not in diagrams.lineage(states, {})
    assert "↺ cached" in diagrams.lineage(states, {})
    assert diagrams.lineage({**states, "tune": "done"}, {}).count('class="arrow"') == 2


def test_sentences_name_the_weakest_class_and_the_commonest_mistake() -> None:
    recall = {"value": 0.5, "low": 0.3, "high": 0.7}
    metrics = {
        "per_class": [
            {"label": "a", "support": 10, "recall": ESTIMATE},
            {"label": "b", "support": 8, "recall": recall},
        ],
        "confusion": [[9, 1], [4, 4]],
    }
    assert findings.worst_class(metrics).startswith(
        "The weakest class is b: 50.0\N{NO-BREAK SPACE}% of its 8 items were found"
    )
    assert "b taken for a, 4 of 8 items" in findings.worst_confusion(metrics)
    assert (
        findings.worst_confusion({"per_class": [], "confusion": [[3, 0], [0, 2]]})
        == "No item was taken for another class."
    )


@pytest.mark.parametrize(("accuracy", "words_of_it"), [(0.6, "too sure of itself"), (0.95, "too modest")])
def test_calibration_sentence_says_the_direction(accuracy: float, words_of_it: str) -> None:
    bins = [{"from": 0.7, "to": 0.8, "confidence": 0.75, "accuracy": accuracy, "count": 10}]
    assert words_of_it in findings.calibration({"calibration": {"expected_calibration_error": ESTIMATE, "bins": bins}})


def test_totals_sum_the_stages_and_say_whether_energy_is_an_estimate(report: dict[str, Any]) -> None:
    found = findings.totals(report["run"])
    assert found["wall_s"] == pytest.approx(312)
    assert "(estimate)" in found["sentence"]
    assert "per 1,000 items" in found["sentence"]
    for stage in report["run"]["stages"]:
        stage["energy_source"] = "counter"
    assert "(measured)" in findings.totals(report["run"])["sentence"]
    assert findings.totals({}) == {}


def test_check_of_the_metric_bears_its_name() -> None:
    report = {"configuration": {"blessing": {"metric": "macro_f1"}}}
    assert findings.check_name(report, {"name": "metric"}) == "Macro F1"
    assert findings.check_name(report, {"name": "worst_class"}) == "Weakest class"


def test_artifacts_of_the_record_are_added_without_their_size(report: dict[str, Any]) -> None:
    report["run"]["artifacts"] = {
        "transform": {"transform_graph": ["artifacts/transform/transform_graph/4"]},
        "train": {"model": ["x"]},
    }
    rows = findings.artifacts(report)
    assert [row["stage"] for row in rows] == ["ingest", "transform", "train"]
    assert rows[1]["place"] == "artifacts/transform/transform_graph/4"
    assert rows[2]["files"] == 9


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (words.decimal(0.91512), "0.915"),
        (words.decimal(-0.01), "−0.010"),
        (words.decimal(2.1e-6), "2.1e−6"),
        (words.decimal(4800), "4,800"),
        (words.decimal(None), "–"),
        (words.decimal(float("nan")), "–"),
        (words.decimal(True), "–"),
        (words.duration(9.96), "10.0 s"),
        (words.duration(59.7), "1 min 00 s"),
        (words.duration(185), "3 min 05 s"),
        (words.duration(4320), "1 h 12 min"),
        (words.energy(310), "310 J"),
        (words.energy(4500), "1.25 Wh"),
        (words.size(812), "812 B"),
        (words.size(1536), "1.5 KiB"),
        (words.percent(0.125), "12.5\N{NO-BREAK SPACE}%"),
        (words.title_of("val_accuracy"), "Validation accuracy"),
        (words.title_of("some_f1"), "Some F1"),
        (words.date("2026-11-21T03:45:00.123Z"), "2026-11-21 03:45 UTC"),
        (words.date(None), "–"),
        (words.interval_text(ESTIMATE), "0.800 to 0.950"),
        (words.interval_text({"low": 0.1}), "–"),
    ],
)
def test_numbers_and_names_read_well(made: str, expected: str) -> None:
    assert made == expected


def test_card_keeps_facts_and_drops_commands_and_tables() -> None:
    readme = (
        "# Land cover\n\nTen classes from **chips**.\n\n## Licence\nMIT, see [EuroSAT](https://example.org).\n\n"
        "## Run it\n```\nearthloop run\n```\n\n## Known gaps\n- no clouds\n- Europe\n  only\n\n| a | b |\n|---|---|\n"
    )
    found = card.read_card(readme)
    assert (found["title"], found["summary"]) == ("Land cover", "Ten classes from chips.")
    assert found["facts"] == [
        {"name": "Licence", "text": "MIT, see EuroSAT (https://example.org)."},
        {"name": "Known gaps", "text": "• no clouds\n• Europe only"},
    ]
