"""Which items are copies of one another: near pairs by banded hashes, clusters by what the thumbnails confirm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from applications.formats.alike import Looks

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]
_HASH_BITS = 64


def band_masks(bits: int) -> list[int]:
    """Returns `bits + 1` masks that share out the 64 bits: two hashes at most `bits` apart agree under one of them."""
    edges = [_HASH_BITS * band // (bits + 1) for band in range(bits + 2)]
    return [((1 << (high - low)) - 1) << low for low, high in itertools.pairwise(edges)]


def near_pairs(hashes: Hashes, bits: int) -> npt.NDArray[np.intp]:
    """Finds every pair of hashes that differ in at most so many bits, without comparing all with all.

    Args:
        hashes: uint64 `[items]`.
        bits: 0 to 63.

    Returns:
        intp `[pairs, 2]`, each pair once, the smaller place first, in order.
    """
    found = [np.zeros((0, 2), np.intp)]
    masks = band_masks(bits)
    for band, mask in enumerate(masks):
        for first, second in _Runs(hashes & np.uint64(mask)).pairs():
            differ = hashes[first] ^ hashes[second]
            near = np.bitwise_count(differ) <= bits
            for earlier in masks[:band]:  # a pair belongs to the first band it agrees in
                near &= (differ & np.uint64(earlier)) != 0
            found.append(np.sort(np.stack([first[near], second[near]], axis=1), axis=1))
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def clusters(hashes: Hashes, thumbnails: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.intp]:
    """Joins items that look alike, directly or through others.

    The work grows with the pairs that share a band of the hash and are not joined yet, so ten thousand
    equal images cost no more than ten thousand different ones.

    Args:
        hashes: uint64 `[items]`, from `perceptual.perceptual_hash`.
        thumbnails: uint8 `[items, 8, 8, 3]`, from `perceptual.thumbnail`.
        bits: largest distance of two hashes whose thumbnails are compared, 0 to 63.

    Returns:
        intp `[items]`: the place of the first item of the cluster that each belongs to.
    """
    looks = Looks(hashes, thumbnails)
    roots = np.arange(len(hashes), dtype=np.intp)
    for strand in looks.strands():
        for mask in band_masks(bits):
            run = _Runs(hashes[strand.members] & np.uint64(mask), strand.at, strand.reach)
            for first, second in run.pairs(strand.members, roots):
                alike = looks.alike(first, second, bits)
                _join(roots, first[alike], second[alike])
    return roots


class _Runs:
    """Items sorted by a key, and along a line within each run of equal keys."""

    def __init__(self, keys: Hashes, at: npt.NDArray[np.float32] | None = None, reach: float = 0.0) -> None:
        self.order = np.argsort(keys, kind="stable") if at is None else np.lexsort((at, keys))
        ordered = keys[self.order]
        self._begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(keys)])
        lengths = np.diff(self._begins, append=len(keys))
        self._run = np.repeat(np.arange(len(self._begins)), lengths)
        self._ends = np.repeat(self._begins + lengths, lengths)
        self._at = None if at is None else at[self.order]
        self._reach = reach

    def pairs(self, members: Places | None = None, roots: Places | None = None) -> Iterator[tuple[Places, Places]]:
        """Yields the pairs of every run that lie within reach, at distance 1, 2, … in the order.

        Args:
            members: what each place stands for; the place itself when left out.
            roots: the cluster of each member as it grows; pairs joined by now are left out.
        """
        order = self.order if members is None else members[self.order]
        starts = np.arange(len(order), dtype=np.intp)
        distance = 1
        while len(starts := self._in_reach(starts, distance)):
            if roots is not None:
                starts = starts[self._unjoined(roots[order])[self._run[starts]]]
            first, second = order[starts], order[starts + distance]
            if roots is not None:
                apart = roots[first] != roots[second]
                first, second = first[apart], second[apart]
            yield first, second
            distance += 1

    def _in_reach(self, starts: Places, distance: int) -> Places:
        starts = starts[starts + distance < self._ends[starts]]
        if self._at is None:
            return starts
        return starts[self._at[starts + distance] - self._at[starts] <= self._reach]

    def _unjoined(self, held: Places) -> npt.NDArray[np.bool_]:
        """Says for each run whether it still holds more than one cluster; a joined run needs no more comparing."""
        return np.asarray(np.minimum.reduceat(held, self._begins) != np.maximum.reduceat(held, self._begins))


def _join(roots: Places, first: Places, second: Places) -> None:
    """Joins the clusters of each pair, in place; a cluster is named by its smallest place."""
    renamed: dict[int, int] = {}

    def top(name: int) -> int:
        while name in renamed:
            name = renamed[name]
        return name

    for one, other in zip(roots[first].tolist(), roots[second].tolist(), strict=True):
        low, high = sorted((top(one), top(other)))
        if low != high:
            renamed[high] = low
    if renamed:
        names = np.array(list(renamed), np.intp)
        table = np.arange(len(roots), dtype=np.intp)
        table[names] = [top(name) for name in renamed]
        roots[:] = table[roots]
