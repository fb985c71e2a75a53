"""Confidence intervals by resampling whole groups.

Items of one group (a burst, a recording, a scene) are alike, so a bootstrap that draws single items believes
it knows more than it does. Here whole groups are drawn with replacement (Davison & Hinkley 1997, "Bootstrap
Methods and their Application", § 3.8, strategy 1), and every metric is computed again from the weighted counts
of each resample.

The interval takes percentiles of the resampled metric (Efron & Tibshirani 1993, "An Introduction to the
Bootstrap", ch. 13), moved outward for few groups as Hesterberg 2015 ("What Teachers Should Know About the
Bootstrap", The American Statistician 69:4) proposes: the plain percentile interval is too narrow by
√((n−1)/n) and ignores Student's t.

A bootstrap of a perfect score has no spread: ten of ten right gives [1, 1], which nobody should sign. So a
score between 0 and 1 gets an interval at least as wide as Wilson's (1927) for its effective number of items,
after Korn & Graubard 1998 ("Confidence intervals for proportions with small expected number of positive
counts estimated from survey data", Survey Methodology 24:2): score · (1 − score) / variance, never more than
the items there are. Where the resamples show no spread, or all misses (or all hits) lie in one group, the
spread between groups cannot be known, and a group counts as one item.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

VALUES_AT_ONCE = 100_000  # resampled item weights held in memory at a time, 8 bytes each
LARGE_DF = 1000  # degrees of freedom from which Student's t is taken as normal


@dataclasses.dataclass(frozen=True)
class Interval:
    """A score and the range in which its true value is believed to lie; NaN where nothing is known."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """Returns `value`, `low` and `high`, with None for NaN, as JSON wants it."""
        return {
            name: float(number) if math.isfinite(number) else None for name, number in dataclasses.asdict(self).items()
        }


UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many independent answers stand behind a score.

    Attributes:
        groups: groups that were resampled and hold items of this score.
        most: the effective number of items if items of a group were independent.
        least: the same if a whole group told no more than one item.
        is_thin: whether the spread between groups cannot be estimated, because fewer than two groups hold a
            miss, or fewer than two hold a hit.
    """

    groups: int
    most: float
    least: float
    is_thin: bool = False


@dataclasses.dataclass(frozen=True)
class Tally:
    """A sum per cell: item i adds `values[i]` to cell `cells[i]`."""

    cells: Ints  # [items], 0 to size − 1
    size: int
    values: Floats | None = None  # [items]; None means 1 each


def resampled_totals(groups: Ints, tallies: Sequence[Tally], *, resamples: int, seed: int) -> list[Floats]:
    """Sums each tally over many resamples of whole groups.

    Args:
        groups: int64 `[items]`, each item's group, numbered from 0 without gaps.
        tallies: what to sum; each resample is the same for all of them, so their totals are paired.
        resamples: number of draws.
        seed: of the draws; the same groups and seed give the same draws.

    Returns:
        For each tally float64 `[resamples, tally.size]`.
    """
    parts: list[list[Floats]] = [[] for _ in tallies]
    for weights in _item_weights(groups, resamples, seed):
        rows = np.arange(len(weights))[:, np.newaxis]
        for tally, part in zip(tallies, parts, strict=True):
            values = weights if tally.values is None else weights * tally.values
            places = (tally.cells + rows * tally.size).ravel()
            totals = np.bincount(places, values.ravel(), minlength=len(weights) * tally.size)
            part.append(totals.reshape(len(weights), tally.size).astype(np.float64, copy=False))
    return [np.concatenate(part) for part in parts]


def _item_weights(groups: Ints, resamples: int, seed: int) -> Iterator[Floats]:
    count = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    at_once = max(1, VALUES_AT_ONCE // len(groups))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        picks = rng.integers(0, count, size=(rows, count)) + np.arange(rows)[:, np.newaxis] * count
        drawn = np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count)
        yield drawn[:, groups].astype(np.float64)


def score_interval(value: float, samples: Floats, sizes: Sizes, confidence: float) -> Interval:
    """Returns the interval of a score between 0 and 1.

    Args:
        value: the score on the sample itself; NaN gives `UNKNOWN`.
        samples: float `[resamples]`, the score on each resample; NaN where a resample held none of its items.
        sizes: how many independent answers stand behind it.
        confidence: for example 0.95.

    Returns:
        The wider, at each end, of the expanded percentile interval and Wilson's; it holds `value`.
    """
    if not math.isfinite(value):
        return UNKNOWN
    low, high = _percentiles(samples, sizes.groups, confidence)
    floor, ceiling = wilson(value, effective_size(value, samples, sizes), confidence)
    return Interval(value, float(np.nanmin([value, low, floor])), float(np.nanmax([value, high, ceiling])))


def plain_interval(value: float, samples: Floats, groups: int, confidence: float) -> Interval:
    """Returns the expanded percentile interval of a number without bounds, such as a loss; it holds `value`."""
    if not math.isfinite(value):
        return UNKNOWN
    low, high = _percentiles(samples, groups, confidence)
    return Interval(value, float(np.nanmin([value, low])), float(np.nanmax([value, high])))


def bias_reflected_interval(value: float, samples: Floats, groups: int, confidence: float) -> Interval:
    """Returns the basic bootstrap interval of an error between 0 and 1 that noise can only raise.

    A calibration error is a mean of absolute gaps: noise adds to it, and a resample has that noise twice. The
    percentile interval would lie above the truth; reflecting it about the value (Davison & Hinkley 1997,
    ch. 5) takes the bias off. It is cut to 0..1 and holds `value`.
    """
    if not math.isfinite(value):
        return UNKNOWN
    low, high = _percentiles(samples, groups, confidence)
    return Interval(value, max(0.0, min(value, 2 * value - high)), min(1.0, max(value, 2 * value - low)))


def difference_interval(value: float, samples: Floats, sizes: Sizes, confidence: float) -> Interval:
    """Returns the interval of a difference between two scores on the same items and the same resamples.

    Args:
        value: candidate minus baseline.
        samples: float `[resamples]`, the same on each resample.
        sizes: how many independent answers stand behind each score.
        confidence: for example 0.95.

    Returns:
        The expanded percentile interval, reaching at least z / (n + 2) to either side: what Agresti & Min 2005
        ("Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24)
        give when the two models never disagree on n items; then a group counts as one item.
    """
    if not math.isfinite(value):
        return UNKNOWN
    low, high = _percentiles(samples, sizes.groups, confidence)
    items = sizes.most if np.nanmax(samples) > np.nanmin(samples) else sizes.least
    reach = NormalDist().inv_cdf((1 + confidence) / 2) / (items + 2)
    return Interval(
        value, max(-1.0, float(np.nanmin([value - reach, low]))), min(1.0, float(np.nanmax([value + reach, high])))
    )


def wilson(share: float, items: float, confidence: float) -> tuple[float, float]:
    """Returns Wilson's score interval for a share of so many items (which need not be a whole number)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if items <= 0:
        return 0.0, 1.0
    middle = (share + z * z / (2 * items)) / (1 + z * z / items)
    reach = z / (1 + z * z / items) * math.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def effective_size(value: float, samples: Floats, sizes: Sizes) -> float:
    """Returns how many independent items would give a score the spread that its resamples show."""
    known = samples[np.isfinite(samples)]
    variance = float(known.var()) if len(known) > 1 else 0.0
    if sizes.is_thin or variance <= np.finfo(np.float64).eps:
        return sizes.least
    return min(sizes.most, value * (1 - value) / variance)


def proportion_sizes(hits: npt.NDArray[np.bool_], members: npt.NDArray[np.bool_], groups: Ints) -> Sizes:
    """Returns the sizes behind a share of `members` that are `hits`; all arrays are `[items]`."""
    holding = len(np.unique(groups[members]))
    informative = min(len(np.unique(groups[members & hits])), len(np.unique(groups[members & ~hits])))
    return Sizes(holding, float(members.sum()), float(holding), is_thin=informative < 2)  # noqa: PLR2004 (two groups)


def class_mean_sizes(label_ids: Ints, groups: Ints) -> Sizes:
    """Returns the sizes behind a mean over classes, in which a rare class weighs as much as a common one.

    The variance of a mean of shares with n_c items each is that of one share with k² / Σ 1/n_c items, k being
    the number of classes that have items.
    """
    items = np.unique(label_ids, return_counts=True)[1]
    pairs = np.unique(np.stack([label_ids, groups]), axis=1)
    holding = np.unique(pairs[0], return_counts=True)[1]
    most, least = (len(counts) ** 2 / float((1 / counts).sum()) for counts in (items, holding))
    return Sizes(len(np.unique(groups)), most, least)


def _percentiles(samples: Floats, groups: int, confidence: float) -> tuple[float, float]:
    known = samples[np.isfinite(samples)]
    if len(known) == 0:
        return math.nan, math.nan
    tail = 0.0
    if groups > 1:
        widened = math.sqrt(groups / (groups - 1)) * student_t((1 + confidence) / 2, groups - 1)
        tail = NormalDist().cdf(-widened)
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def student_t(share: float, df: int) -> float:
    """Returns the point below which Student's t with `df` degrees of freedom lies with probability `share`.

    With t = √df · tan(angle) the density is proportional to cos(angle)^(df − 1), which is summed on a grid; the
    answer is right to about 1e-5.

    Args:
        share: 0.5 to below 1.
        df: degrees of freedom, at least 1.
    """
    if df > LARGE_DF:
        return NormalDist().inv_cdf(share)
    angles = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (df - 1)
    area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(math.sqrt(df) * np.tan(np.interp(2 * share - 1, area / area[-1], angles)))
