"""Measures what a random split of rows would have added to a score: a probe that lives on near-copies alone."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from applications.settings import EvaluateSettings
from evaluation import intervals
from schemas import features

PROBE = "the nearest neighbour among 8 by 8 pixel thumbnails"
SAMPLE = 4000  # items at most, so that the time is bounded
RANDOM_SPLITS = 10
_RESAMPLES_AT_MOST = 1000
_ROWS_AT_ONCE = 256

Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class _Deal:
    """One way to split the sample."""

    reference: Flags  # bool [items]
    query: Flags  # bool [items]


def sample(groups: Sequence[str], most: int = SAMPLE) -> npt.NDArray[np.intp]:
    """Picks whole groups by a hash of their key until there are enough items, the same whatever their order.

    Single items would not do: a near-copy flatters a random split only where its twin is in the sample too.

    Args:
        groups: the group's key of each item.
        most: size of the sample; the last group may be cut to it.

    Returns:
        intp `[sampled]`, places in ascending order.
    """
    keys = np.asarray([hashlib.sha256(group.encode()).hexdigest() for group in groups], dtype=np.str_)
    return np.sort(np.argsort(keys, kind="stable")[:most])


def random_split_gap(
    splits: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str],
    thumbnails: npt.NDArray[np.uint8],
    settings: EvaluateSettings,
) -> dict[str, Any] | None:
    """Scores the probe on the given split and on random splits of the same items into the same sizes.

    Args:
        splits: of each item.
        labels: of each item.
        groups: of each item; whole groups are resampled for the intervals.
        thumbnails: uint8 `[items, 8, 8, 3]`.
        settings: confidence, resamples and seed.

    Returns:
        Keys `probe`, `grouped`, `random`, `gap` (each `value`, `low`, `high`) and `sentence`; None where the train or
        the test split holds none of the items.
    """
    names = np.asarray(splits, dtype=np.str_)
    if not {features.TRAIN, features.TEST} <= set(names.tolist()):
        return None
    random = np.random.default_rng(settings.seed)
    deals = [_deal(names), *(_deal(random.permutation(names)) for _ in range(RANDOM_SPLITS))]
    hits = _hits(thumbnails, _codes(labels), deals)
    queries = np.stack([deal.query for deal in deals])
    return _scored(hits, queries, _codes(groups), settings)


def _deal(names: npt.NDArray[np.str_]) -> _Deal:
    return _Deal(names == features.TRAIN, names == features.TEST)


def _codes(words: Sequence[str]) -> Codes:
    return np.unique(np.asarray(words, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def _hits(thumbnails: npt.NDArray[np.uint8], labels: Codes, deals: Sequence[_Deal]) -> Flags:
    """Bool `[deals, items]`: whether the nearest reference has the label of the item; False where it is no query."""
    hits = np.zeros((len(deals), len(labels)), np.bool_)
    references = [np.flatnonzero(deal.reference) for deal in deals]
    for rows, distances in _distances(thumbnails):
        for number, deal in enumerate(deals):
            queries = np.flatnonzero(deal.query[rows])
            nearest = references[number][distances[np.ix_(queries, references[number])].argmin(axis=1)]
            hits[number, rows.start + queries] = labels[nearest] == labels[rows.start + queries]
    return hits


def _distances(thumbnails: npt.NDArray[np.uint8]) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yields squared distances of some rows to all, less what is the same for a whole row."""
    values = thumbnails.reshape(len(thumbnails), -1).astype(np.float32) / 255
    squares = (values**2).sum(axis=1)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(values)))
        yield rows, squares - 2 * values[rows] @ values.T


def _scored(hits: Flags, queries: Flags, groups: Codes, settings: EvaluateSettings) -> dict[str, Any]:
    tallies = [intervals.Tally(np.zeros(len(groups), np.int64), 1, values) for values in _sums(hits, queries)]
    resamples = min(settings.resamples, _RESAMPLES_AT_MOST)
    totals = intervals.resampled_totals(groups, tallies, resamples=resamples, seed=settings.seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        grouped_samples = totals[0][:, 0] / totals[1][:, 0]
        random_samples = totals[2][:, 0] / totals[3][:, 0]
    grouped_value = float(hits[0].sum() / queries[0].sum())
    random_value = float(hits[1:].sum() / queries[1:].sum())
    sizes = intervals.proportion_sizes(hits[0], queries[0], groups)
    count = len(np.unique(groups))
    grouped = intervals.score_interval(grouped_value, grouped_samples, sizes, settings.confidence)
    random = intervals.plain_interval(random_value, random_samples, count, settings.confidence)
    gap = intervals.plain_interval(
        random_value - grouped_value, random_samples - grouped_samples, count, settings.confidence
    )
    return {
        "probe": PROBE,
        "items": len(groups),
        "grouped": grouped.as_dict(),
        "random": random.as_dict(),
        "gap": gap.as_dict(),
        "sentence": _sentence(grouped, random, gap),
    }


def _sums(hits: Flags, queries: Flags) -> list[npt.NDArray[np.float64]]:
    """Of each item: hit and tested in the given split, hits and tests over the random ones."""
    return [part.astype(np.float64) for part in (hits[0], queries[0], hits[1:].sum(axis=0), queries[1:].sum(axis=0))]


def _sentence(grouped: intervals.Interval, random: intervals.Interval, gap: intervals.Interval) -> str:
    scores = (
        f"A probe that only looks for {PROBE} scores {grouped.value:.3f} on our split and {random.value:.3f} where "
        f"rows are dealt at random ({gap.value:+.3f}, from {gap.low:+.3f} to {gap.high:+.3f})"
    )
    if gap.low > 0:
        return f"{scores}: near-copies would have flattered a random split by so much."
    if gap.high < 0:
        return f"{scores}: our test split is easier than a random one, so look at its classes and groups."
    return f"{scores}: no more than chance, so near-copies do not flatter the test score."
