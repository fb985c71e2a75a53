"""Which items are copies of one another: pairs proposed by banded hashes, clusters of what the thumbnails confirm."""

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
                join(roots, first[alike], second[alike])
    return roots


class _Runs:
    """Items sorted by a key, and along a line within each run of equal keys."""

    def __init__(self, keys: Hashes, at: npt.NDArray[np.float32], reach: float) -> None:
        self.order = np.lexsort((at, keys))
        ordered = keys[self.order]
        self._begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(keys)])
        lengths = np.diff(self._begins, append=len(keys))
        self._run = np.repeat(np.arange(len(self._begins)), lengths)
        self._ends = np.repeat(self._begins + lengths, lengths)
        self._at = at[self.order]
        self._reach = reach

    def pairs(self, members: Places, roots: Places) -> Iterator[tuple[Places, Places]]:
        """Yields the pairs of every run that lie within reach, at distance 1, 2, … in the order.

        Args:
            members: what each place stands for.
            roots: the cluster of each member as it grows; pairs joined by now are left out.
        """
        order = members[self.order]
        starts = np.arange(len(order), dtype=np.intp)
        distance = 1
        while len(starts := self._in_reach(starts, distance)):
            starts = starts[self._unjoined(roots[order])[self._run[starts]]]
            first, second = order[starts], order[starts + distance]
            apart = roots[first] != roots[second]
            yield first[apart], second[apart]
            distance += 1

    def _in_reach(self, starts: Places, distance: int) -> Places:
        starts = starts[starts + distance < self._ends[starts]]
        return starts[self._at[starts + distance] - self._at[starts] <= self._reach]

    def _unjoined(self, held: Places) -> npt.NDArray[np.bool_]:
        """Says for each run whether it still holds more than one cluster; a joined run needs no more comparing."""
        return np.asarray(np.minimum.reduceat(held, self._begins) != np.maximum.reduceat(held, self._begins))


def join(roots: Places, first: Places, second: Places) -> None:
    """Joins the clusters of each pair, in place; a cluster is named by its smallest place.

    Args:
        roots: intp `[items]`, the place that names the cluster of each.
        first: intp `[pairs]`, places of the one of each pair.
        second: intp `[pairs]`, places of the other.
    """
    renamed: dict[int, int] = {}

    def top(name: int) -> int:
        """Returns the name that a cluster has by now."""
        while name in renamed:
            above = renamed[name]
            renamed[name] = renamed.get(above, above)  # the way up is halved, so that a long chain stays cheap
            name = above
        return name

    for one, other in zip(roots[first].tolist(), roots[second].tolist(), strict=True):
        low, high = sorted((top(one), top(other)))
        if low != high:
            renamed[high] = low
    if renamed:
        names = np.array(list(renamed), np.intp)
        table = np.arange(len(roots), dtype=np.intp)
        table[names] = [top(name) for name in names.tolist()]
        roots[:] = table[roots]
