"""Classification metrics as functions of weighted counts.

Each metric takes counts with any number of leading dimensions, so one call scores the sample itself and
another scores thousands of bootstrap resamples of it. A confusion matrix here is `[..., classes, classes + 1]`:
a row per true class, a column per predicted class, and a last column for items that got no answer, which
count as errors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NO_ANSWER = -1  # predicted id of an item the model could not read
CALIBRATION_BINS = (
    15  # equal-width, as in Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599
)
LEAST_PROBABILITY = 1e-7  # floor inside the logarithm; the same as Keras and TFMA use


def predicted_ids(probabilities: Floats) -> Ints:
    """Returns the best class of each item.

    Args:
        probabilities: float `[items, classes]`. A row that is all zeros or not finite is an item without an answer.

    Returns:
        int64 `[items]`, 0 to classes − 1, or `NO_ANSWER`.
    """
    answered = np.isfinite(probabilities).all(axis=1) & (probabilities.sum(axis=1) > 0)
    best = np.argmax(np.nan_to_num(probabilities), axis=1)
    return np.where(answered, best, NO_ANSWER).astype(np.int64)


def confusion_cells(label_ids: Ints, predictions: Ints, classes: int) -> Ints:
    """Returns the place of each item in the flattened confusion matrix, int64 `[items]`."""
    columns = np.where(predictions == NO_ANSWER, classes, predictions)
    return (label_ids * (classes + 1) + columns).astype(np.int64)


def confusion_matrix(label_ids: Ints, predictions: Ints, classes: int) -> Floats:
    """Counts items by true and predicted class.

    Args:
        label_ids: int64 `[items]`, 0 to classes − 1.
        predictions: int64 `[items]`, 0 to classes − 1 or `NO_ANSWER`.
        classes: number of classes.

    Returns:
        float64 `[classes, classes + 1]`; the last column holds items without an answer.
    """
    cells = confusion_cells(label_ids, predictions, classes)
    return np.bincount(cells, minlength=classes * (classes + 1)).reshape(classes, classes + 1).astype(np.float64)


def support(confusion: Floats) -> Floats:
    """Returns the items of each true class, `[..., classes]`."""
    return np.asarray(confusion.sum(axis=-1))


def accuracy(confusion: Floats) -> Floats:
    """Returns the share of items answered rightly, `[...]`; NaN without items."""
    return _ratio(_hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def recalls(confusion: Floats) -> Floats:
    """Returns the share of each true class that was found, `[..., classes]`; NaN for a class without items."""
    return _ratio(_hits(confusion), support(confusion))


def precisions(confusion: Floats) -> Floats:
    """Returns the share of each predicted class that was right, `[..., classes]`; NaN for one never predicted."""
    return _ratio(_hits(confusion), confusion[..., :-1].sum(axis=-2))


def f1s(confusion: Floats) -> Floats:
    """Returns the harmonic mean of precision and recall, `[..., classes]`; NaN for a class without items."""
    both = support(confusion) + confusion[..., :-1].sum(axis=-2)
    return np.where(support(confusion) > 0, _ratio(2 * _hits(confusion), both), np.nan)


def balanced_accuracy(confusion: Floats) -> Floats:
    """Returns the mean recall over the classes that have items, `[...]`."""
    return _mean_of_known(recalls(confusion))


def macro_f1(confusion: Floats) -> Floats:
    """Returns the mean F1 over the classes that have items, `[...]`."""
    return _mean_of_known(f1s(confusion))


def calibration_bin_ids(confidence: Floats) -> Ints:
    """Returns which bin each confidence falls into, int64 `[items]`; bin m holds (m / bins, (m + 1) / bins]."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(np.int64)


def expected_calibration_error(count: Floats, confidence: Floats, correct: Floats) -> Floats:
    """Returns the mean gap between confidence and accuracy, weighted by items (Guo et al. 2017).

    Args:
        count: float `[..., bins]`, items in each bin.
        confidence: float `[..., bins]`, sum of the confidence of the items in each bin.
        correct: float `[..., bins]`, rightly answered items in each bin.

    Returns:
        float `[...]`, 0 (perfectly calibrated) to 1; NaN without items.
    """
    return _ratio(np.abs(confidence - correct).sum(axis=-1), count.sum(axis=-1))


def reliability_bins(confidence: Floats, correct: npt.NDArray[np.bool_]) -> list[dict[str, float | int | None]]:
    """Describes each bin of the calibration plot.

    Args:
        confidence: float `[items]`, probability of the predicted class.
        correct: bool `[items]`.

    Returns:
        One record a bin: `from`, `to`, mean `confidence`, `accuracy` (both None in an empty bin), `count`.
    """
    bins = calibration_bin_ids(confidence)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    means = _ratio(np.bincount(bins, confidence, CALIBRATION_BINS), counts)
    rights = _ratio(np.bincount(bins, correct.astype(np.float64), CALIBRATION_BINS), counts)
    return [
        {
            "from": place / CALIBRATION_BINS,
            "to": (place + 1) / CALIBRATION_BINS,
            "confidence": float(means[place]) if counts[place] else None,
            "accuracy": float(rights[place]) if counts[place] else None,
            "count": int(counts[place]),
        }
        for place in range(CALIBRATION_BINS)
    ]


def log_losses(label_ids: Ints, probabilities: Floats) -> Floats:
    """Returns −log of the probability given to the true class, `[items]`, in nats, at most 16.1."""
    given = np.nan_to_num(probabilities)[np.arange(len(label_ids)), label_ids]
    return -np.log(np.clip(given, LEAST_PROBABILITY, 1.0))


def _hits(confusion: Floats) -> Floats:
    return np.diagonal(confusion[..., :-1], axis1=-2, axis2=-1)


def _ratio(part: npt.NDArray[np.generic], whole: npt.NDArray[np.generic]) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.divide(part, whole), np.nan)


def _mean_of_known(values: Floats) -> Floats:
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))
