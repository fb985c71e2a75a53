"""Metrics of one model's answers with their intervals, overall and for each class."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from applications.settings import EvaluateSettings
from evaluation import classification, intervals
from evaluation.intervals import Interval, Sizes, Tally

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

METRICS = {
    "accuracy": classification.accuracy,
    "balanced_accuracy": classification.balanced_accuracy,
    "macro_f1": classification.macro_f1,
}
CLASS_METRICS = {
    "recall": classification.recalls,
    "precision": classification.precisions,
    "f1": classification.f1s,
}


@dataclasses.dataclass(frozen=True)
class Answers:
    """One model's answers on a set of items."""

    label_ids: Ints  # [items], the true class
    predicted: Ints  # [items], the best class or −1
    groups: Ints  # [items], numbered from 0 without gaps
    classes: int  # number of classes

    @property
    def group_count(self) -> int:
        """The number of groups."""
        return int(self.groups.max()) + 1

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Whether each item was answered rightly, `[items]`."""
        return self.predicted == self.label_ids

    @property
    def confusion(self) -> Floats:
        """The confusion matrix `[classes, classes + 1]`."""
        return classification.confusion_matrix(self.label_ids, self.predicted, self.classes)

    def only(self, chosen: npt.NDArray[np.bool_]) -> Answers:
        """Returns the answers on some of the items; `chosen` is `[items]`."""
        groups = number_groups(self.groups[chosen])
        return Answers(self.label_ids[chosen], self.predicted[chosen], groups, self.classes)

    def resampled_confusion(self, settings: EvaluateSettings) -> Floats:
        """Returns the confusion matrix of each resample, `[resamples, classes, classes + 1]`."""
        cells = classification.confusion_cells(self.label_ids, self.predicted, self.classes)
        tally = Tally(cells, self.classes * (self.classes + 1))
        (totals,) = intervals.resampled_totals(self.groups, [tally], resamples=settings.resamples, seed=settings.seed)
        return totals.reshape(-1, self.classes, self.classes + 1)


def number_groups(groups: Sequence[str] | npt.NDArray[Any]) -> Ints:
    """Numbers group names from 0 in their sorted order, so that the same groups always get the same draws."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def metric_intervals(answers: Answers, resampled: Floats, confidence: float) -> dict[str, Interval]:
    """Returns accuracy, balanced accuracy and macro F1 with their intervals.

    Args:
        answers: of one model.
        resampled: float64 `[resamples, classes, classes + 1]`, of the same answers.
        confidence: for example 0.95.
    """
    confusion, sizes = answers.confusion, metric_sizes(answers)
    return {
        name: intervals.score_interval(float(metric(confusion)), metric(resampled), sizes[name], confidence)
        for name, metric in METRICS.items()
    }


def metric_differences(
    candidate: tuple[Answers, Floats], baseline: tuple[Answers, Floats], confidence: float
) -> dict[str, Interval]:
    """Returns candidate minus baseline in each metric; both on the same items and the same resamples.

    Args:
        candidate: answers, and their resampled confusion matrices.
        baseline: the same of the earlier model.
        confidence: for example 0.95.
    """
    (ours, our_samples), (theirs, their_samples) = candidate, baseline
    sizes = metric_sizes(ours)
    return {
        name: intervals.difference_interval(
            float(metric(ours.confusion) - metric(theirs.confusion)),
            metric(our_samples) - metric(their_samples),
            sizes[name],
            confidence,
        )
        for name, metric in METRICS.items()
    }


def metric_sizes(answers: Answers) -> dict[str, Sizes]:
    """Returns how many independent answers stand behind each metric."""
    everything = np.ones(len(answers.label_ids), bool)
    overall = intervals.proportion_sizes(answers.hits, everything, answers.groups)
    by_class = intervals.class_mean_sizes(answers.label_ids, answers.groups)
    return {"accuracy": overall, "balanced_accuracy": by_class, "macro_f1": by_class}


def per_class(answers: Answers, resampled: Floats, confidence: float, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns for each class its label, support, items without an answer, and recall, precision and F1."""
    confusion = answers.confusion
    points = {name: metric(confusion) for name, metric in CLASS_METRICS.items()}
    samples = {name: metric(resampled) for name, metric in CLASS_METRICS.items()}
    records = []
    for place, label in enumerate(names):
        true = intervals.proportion_sizes(answers.hits, answers.label_ids == place, answers.groups)
        claimed = intervals.proportion_sizes(answers.hits, answers.predicted == place, answers.groups)
        sizes = {"recall": true, "precision": claimed, "f1": true}
        found = {
            name: intervals.score_interval(float(points[name][place]), samples[name][:, place], sizes[name], confidence)
            for name in CLASS_METRICS
        }
        counts = {"support": int(confusion[place].sum()), "unanswered": int(confusion[place, -1])}
        records.append({"label": label, **counts, **found})
    return records
