"""Everything that is known about a model from its answers on the test split: metrics, intervals, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from applications.errors import DataError
from applications.settings import BlessingSettings, EvaluateSettings
from evaluation import blessing, classification, intervals, scores
from evaluation.intervals import Interval, Tally
from evaluation.predictions import Predictions
from evaluation.scores import Answers

WORST_ERRORS = 24  # shown in the report


def scorecard(
    predictions: Predictions,
    *,
    evaluate: EvaluateSettings,
    rules: BlessingSettings,
    audit: Mapping[str, Any],
    evaluated: Mapping[str, Mapping[str, float | None]],
    slices: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """Scores the predictions and decides on the model.

    Args:
        predictions: answers on the test split.
        evaluate: confidence, resamples and seed.
        rules: what a blessed model must show.
        audit: contents of `audit.json`; empty where there is none, which is not blessed.
        evaluated: TFMA's own metrics, name → value, low, high; empty where there are none, which is not blessed.
        slices: the features, alone or crossed, by whose values the metrics are broken down.

    Returns:
        `metrics` (contents of metrics.json) and `verdict` (contents of verdict.json), ready for JSON.

    Raises:
        DataError: there are no test items.
    """
    if len(predictions.label_ids) == 0:
        raise DataError("the test split has no items, so nothing can be said about the model; give more data.")
    answers = _answers(predictions, predictions.probabilities)
    metrics = {
        "items": len(answers.label_ids),
        "groups": answers.group_count,
        "confidence": evaluate.confidence,
        "resamples": evaluate.resamples,
        **_scores(predictions, answers, evaluate),
        "slices": list(slice_metrics(predictions, answers, slices, evaluate)),
        "worst_errors": worst_errors(predictions, answers),
        "tfma": evaluated,
        "baseline_note": predictions.baseline_note,
        "notes": notes(predictions, answers),
    }
    evidence = _evidence(predictions, metrics, rules, audit)
    return {"metrics": plain(metrics), "verdict": blessing.judge(evidence, rules)}


def _scores(predictions: Predictions, answers: Answers, evaluate: EvaluateSettings) -> dict[str, Any]:
    resampled, confidence = answers.resampled_confusion(evaluate), evaluate.confidence
    overall = scores.metric_intervals(answers, resampled, confidence)
    return {
        "metrics": overall | {"log_loss": log_loss(answers, predictions.probabilities, evaluate)},
        "per_class": scores.per_class(answers, resampled, confidence, predictions.classes),
        "confusion": answers.confusion[:, :-1].astype(int).tolist(),
        "calibration": calibration(answers, predictions.probabilities, evaluate),
        "baseline": _against_baseline(predictions, answers, evaluate),
    }


def _against_baseline(predictions: Predictions, answers: Answers, evaluate: EvaluateSettings) -> dict[str, Any] | None:
    """Compares both models on the items that the earlier one has not learnt from."""
    if predictions.baseline_probabilities is None:
        return None
    seen = predictions.baseline_has_seen
    fresh = np.ones(len(answers.label_ids), np.bool_) if seen is None else ~seen
    ours, earlier = answers.only(fresh), _answers(predictions, predictions.baseline_probabilities).only(fresh)
    drawn, again = (
        ours.resampled_confusion(evaluate),
        earlier.resampled_confusion(evaluate),
    )  # the same groups and draws
    return {
        "version": predictions.baseline_version,
        "compared_items": int(fresh.sum()),
        "metrics": scores.metric_intervals(earlier, again, evaluate.confidence),
        "candidate": scores.metric_intervals(ours, drawn, evaluate.confidence),
        "difference": scores.metric_differences((ours, drawn), (earlier, again), evaluate.confidence),
    }


def _evidence(
    predictions: Predictions, metrics: Mapping[str, Any], rules: BlessingSettings, audit: Mapping[str, Any]
) -> blessing.Evidence:
    best = np.argmax(predictions.probabilities, axis=1)  # as TFMA counts: class 0 where there is no answer
    return blessing.Evidence(
        items=metrics["items"],
        confidence=metrics["confidence"],
        metric=metrics["metrics"][rules.metric],
        recalls={each["label"]: each["recall"] for each in metrics["per_class"]},
        calibration_error=metrics["calibration"]["expected_calibration_error"],
        difference=metrics["baseline"]["difference"][rules.metric] if metrics["baseline"] else None,
        compared_items=metrics["baseline"]["compared_items"] if metrics["baseline"] else None,
        baseline_version=predictions.baseline_version,
        baseline_note=predictions.baseline_note,
        argmax_accuracy=float(np.mean(best == predictions.label_ids)),
        evaluator_accuracy=metrics["tfma"].get("accuracy", {}).get("value"),
        audit=audit,
        learnt_items=None if predictions.has_seen is None else int(predictions.has_seen.sum()),
    )


def calibration(answers: Answers, probabilities: npt.NDArray[np.float64], settings: EvaluateSettings) -> dict[str, Any]:
    """Returns the expected calibration error with its interval, and the reliability bins.

    An item without an answer claims no confidence, so it is left out.
    """
    answered = answers.predicted != classification.NO_ANSWER
    if not answered.any():
        return {"expected_calibration_error": intervals.UNKNOWN, "bins": []}
    confidence, hits = probabilities[answered].max(axis=1), answers.hits[answered]
    groups = scores.number_groups(answers.groups[answered])
    cells, size = classification.calibration_bin_ids(confidence), classification.CALIBRATION_BINS
    summed = (np.ones(len(cells)), confidence, hits.astype(np.float64))
    samples = classification.expected_calibration_error(
        *intervals.resampled_totals(
            groups,
            [Tally(cells, size, values) for values in summed],
            resamples=settings.resamples,
            seed=settings.seed,
        )
    )
    totals = (np.bincount(cells, values, size).astype(np.float64) for values in summed)
    value = float(classification.expected_calibration_error(*totals))
    found = intervals.bias_reflected_interval(value, samples, int(groups.max()) + 1, settings.confidence)
    return {"expected_calibration_error": found, "bins": classification.reliability_bins(confidence, hits)}


def log_loss(answers: Answers, probabilities: npt.NDArray[np.float64], settings: EvaluateSettings) -> Interval:
    """Returns the mean log loss in nats with its interval."""
    losses = classification.log_losses(answers.label_ids, probabilities)
    nowhere = np.zeros(len(losses), np.int64)
    tallies = [Tally(nowhere, 1, losses), Tally(nowhere, 1)]
    total, count = intervals.resampled_totals(answers.groups, tallies, resamples=settings.resamples, seed=settings.seed)
    samples = (total / count)[:, 0]
    return intervals.plain_interval(float(losses.mean()), samples, answers.group_count, settings.confidence)


def slice_metrics(
    predictions: Predictions, answers: Answers, slices: Sequence[Sequence[str]], settings: EvaluateSettings
) -> Iterator[dict[str, Any]]:
    """Yields the metrics of each value of each slice, such as `brightness_band=dark` or `site=a, hour=3`."""
    for features in slices:
        rows = zip(*(predictions.slices[feature] for feature in features), strict=True)
        names = np.array([", ".join(map("=".join, zip(features, row, strict=True))) for row in rows])
        for name in np.unique(names):
            chosen = names == name
            part = answers.only(chosen)
            found = scores.metric_intervals(part, part.resampled_confusion(settings), settings.confidence)
            yield {"slice": str(name), "items": int(chosen.sum()), "metrics": found}


def worst_errors(predictions: Predictions, answers: Answers) -> list[dict[str, Any]]:
    """Returns the wrong answers the model was surest of, at most 24; items without an answer come last."""
    predicted, sureness = answers.predicted, np.nan_to_num(predictions.probabilities).max(axis=1)
    wrong = np.flatnonzero(predicted != answers.label_ids)
    order = wrong[np.argsort(-sureness[wrong], kind="stable")][:WORST_ERRORS]
    return [
        {
            "origin": predictions.origins[item],
            "sha256": predictions.sha256[item],
            "label": predictions.classes[answers.label_ids[item]],
            "predicted": "" if predicted[item] < 0 else predictions.classes[predicted[item]],
            "score": float(sureness[item]),
        }
        for item in order
    ]


def notes(predictions: Predictions, answers: Answers) -> list[str]:
    """Returns what a reader of the metrics must know: classes left out of means, items without an answer."""
    found = []
    counts = classification.support(answers.confusion)
    absent = [name for name, count in zip(predictions.classes, counts, strict=True) if count == 0]
    if absent:
        found.append(f"No test items of {', '.join(absent)}: left out of balanced accuracy and macro F1.")
    unanswered = int((answers.predicted == classification.NO_ANSWER).sum())
    if unanswered:
        found.append(f"The model could not read {unanswered:,} test items; they count as errors.")
    return found


def plain(value: Any) -> Any:
    """Returns the tree with intervals as dicts and numbers that are not finite as None, ready for JSON."""
    if isinstance(value, Interval):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _answers(predictions: Predictions, probabilities: npt.NDArray[np.float64]) -> Answers:
    return Answers(
        predictions.label_ids,
        classification.predicted_ids(probabilities),
        scores.number_groups(predictions.groups),
        len(predictions.classes),
    )
