"""Whether what was read is fit to train on; if not, the sentence that says why and what to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from applications.errors import StageError
from applications.settings import SplitSettings
from schemas import features

LOGGED_REFUSALS = 1000  # beyond so many the log only counts, where the quarantine keeps them all

_log = logging.getLogger(__name__)


def check(
    summary: dict[str, Any], refused: Sequence[dict[str, Any]], split: SplitSettings, classes: Sequence[str]
) -> None:
    """Stops the run where the items read are not fit to go on with.

    The stage's folder is removed when it fails, so every refusal is written to the log first.

    Args:
        summary: content of `summary.json`.
        refused: lines of `refused.jsonl`.
        split: fractions of the splits, for the text.
        classes: of the application.

    Raises:
        StageError: no item is readable, too many are bad, a class or a split is empty.
    """
    problem = _problem(summary, refused, split, classes)
    if problem:
        _log_refused(refused, logging.ERROR, at_most=len(refused))
        raise StageError(problem)
    _log_refused(refused, logging.WARNING, at_most=LOGGED_REFUSALS)


def _problem(
    summary: dict[str, Any], refused: Sequence[dict[str, Any]], split: SplitSettings, classes: Sequence[str]
) -> str:
    read, accepted, bad = summary["items_read"], summary["accepted"], summary["refused"]
    if not read:
        return "ingest found no item at all. Check the path given with --data."
    found = f"{_reasons(summary)}; for example {_example(refused[0])}" if refused else ""
    if not accepted:
        return f"ingest could use none of the {read} items: {found}. Check that --data names the right folder."
    if summary["bad_share"] > summary["max_bad_share"]:
        return (
            f"ingest refused {bad} of {read} items, {summary['bad_share']:.1%}; at most {summary['max_bad_share']:.1%} "
            f"may be bad: {found}. Mend or remove these files (the log lists them), or allow more with "
            f"--set ingest.max_bad_share={_enough(summary['bad_share'])}."
        )
    gone = [name for name in classes if name not in summary["by_class"]]
    if gone:
        why = f"All of theirs were refused: {found}." if refused else "The data have none."
        return (
            f"ingest has no usable item of {', '.join(gone)}. {why} Add good items, or remove the class from the spec."
        )
    return _empty_split(summary, split)


def _empty_split(summary: dict[str, Any], split: SplitSettings) -> str:
    empty = [name for name in features.SPLITS if not summary["by_split"].get(name)]
    if not empty:
        return ""
    name = empty[0]
    return (
        f"split {name!r} is empty: {summary['accepted']} items in {summary['groups']} groups were dealt out with "
        f"split.{name}={getattr(split, name)} of the groups. Give more data, raise that fraction and lower another "
        f"(--set split.train=… --set split.validation=… --set split.test=…, together 1), "
        f"or deal anew with --set split.seed={split.seed + 1}."
    )


def _reasons(summary: dict[str, Any]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in summary["by_reason"].items())


def _example(refusal: dict[str, Any]) -> str:
    return f"{refusal['origin']} ({refusal['reason']}: {refusal['detail']})"


def _enough(share: float) -> float:
    """The next limit, in whole percent, that lets so many bad items pass."""
    return min(1.0, (int(share * 100) + 1) / 100)


def _log_refused(refused: Sequence[dict[str, Any]], level: int, *, at_most: int) -> None:
    for refusal in refused[:at_most]:
        _log.log(level, "refused %s", _example(refusal))
    if len(refused) > at_most:
        _log.log(level, "refused %d more", len(refused) - at_most)
