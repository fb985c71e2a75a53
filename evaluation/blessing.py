"""The rules by which a model is blessed, and the sentence that explains the verdict.

A rule passes, fails, or cannot tell. One failed rule is enough for "not blessed"; else one that cannot tell
is enough for "cannot tell"; a model is pushed only when every rule passes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal

from applications.settings import BlessingSettings
from evaluation.intervals import Interval

Outcome = Literal["passed", "failed", "cannot tell"]

BLESSED, NOT_BLESSED, CANNOT_TELL = "blessed", "not blessed", "cannot tell"
AGREEMENT_AT_MOST = 1e-3  # largest difference between TFMA's accuracy and that of the predictions
PROBABLY = 0.9  # chance of too large a drop from which a comparison that is not conclusive stops a model
HOPELESS = 100  # times as many test items: beyond it, more data is no advice


@dataclasses.dataclass(frozen=True)
class Check:
    """One rule held against one number.

    Attributes:
        name: of the rule.
        outcome: what came out.
        clause: the reason, as part of a sentence.
        found: the number, with its interval where it has one.
        limit: what it was held against; None where the rule has no number.
        is_told: whether the sentence of a blessed model mentions it.
    """

    name: str
    outcome: Outcome
    clause: str
    found: Interval = dataclasses.field(default_factory=lambda: Interval(math.nan, math.nan, math.nan))
    limit: float | None = None
    is_told: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Returns the record of this check for `verdict.json`."""
        return {
            "name": self.name,
            **self.found.as_dict(),
            "limit": self.limit,
            "outcome": self.outcome,
            "sentence": f"{self.clause[0].upper()}{self.clause[1:]}.",
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the rules look at.

    Attributes:
        items: number of test items.
        confidence: of every interval, for example 0.95.
        metric: the interval of the metric that the settings name.
        recalls: recall of each class; NaN for a class without test items.
        calibration_error: expected calibration error.
        difference: candidate minus baseline in that metric, or None without a baseline.
        compared_items: number of test items behind the difference; fewer than `items` where the baseline has learnt
            from some. None stands for all.
        baseline_version: version of the baseline; "" where unknown.
        baseline_note: why an existing baseline was not compared with, as a clause; else "".
        argmax_accuracy: accuracy of the predictions as TFMA counts it.
        evaluator_accuracy: accuracy in TFMA's own result, or None where it has none.
        audit: contents of `audit.json`.
        learnt_items: number of test items from which, or from others of whose groups, the model or the weights it
            started from has learnt; None where that is unknown.
    """

    items: int
    confidence: float
    metric: Interval
    recalls: Mapping[str, Interval]
    calibration_error: Interval
    difference: Interval | None
    baseline_version: str
    baseline_note: str
    argmax_accuracy: float
    evaluator_accuracy: float | None
    audit: Mapping[str, Any]
    compared_items: int | None = None
    learnt_items: int | None = None


def judge(evidence: Evidence, settings: BlessingSettings) -> dict[str, Any]:
    """Applies every rule.

    Returns:
        `verdict` ("blessed", "not blessed" or "cannot tell"), `sentence`, and `checks` (`Check.as_dict`).
    """
    checks = [
        check_metric(evidence, settings),
        check_worst_class(evidence, settings.worst_class_at_least),
        check_baseline(evidence, settings),
        check_calibration(evidence, settings.calibration_error_at_most),
        check_split_audit(evidence.audit),
        check_learnt_from(evidence.learnt_items, evidence.items),
        check_agreement(evidence.argmax_accuracy, evidence.evaluator_accuracy),
    ]
    verdict, reasons = _verdict(checks)
    sentence = f"{verdict.capitalize()}: {_listed([check.clause for check in reasons])}."
    return {"verdict": verdict, "sentence": sentence, "checks": [check.as_dict() for check in checks]}


def _verdict(checks: Sequence[Check]) -> tuple[str, list[Check]]:
    failed = [check for check in checks if check.outcome == "failed"]
    unclear = [check for check in checks if check.outcome == "cannot tell"]
    if failed:
        return NOT_BLESSED, failed
    if unclear:
        return CANNOT_TELL, unclear
    return BLESSED, [check for check in checks if check.is_told]


def check_metric(evidence: Evidence, settings: BlessingSettings) -> Check:
    """The whole interval must lie at or above the limit to pass, and below it to fail."""
    found, limit = evidence.metric, settings.at_least
    shown = f"{_words(settings.metric)} {_with_interval(found, limit, evidence.confidence)}"
    if not math.isfinite(found.value):
        return Check("metric", "cannot tell", f"{_words(settings.metric)} is unknown", found, limit)
    if found.low >= limit:
        return Check("metric", "passed", f"{shown} clears {_limit(limit)} even at its lower end", found, limit)
    if found.high < limit:
        clause = f"{shown} stays below {_limit(limit)} even at its upper end"
        return Check("metric", "failed", clause, found, limit)
    clause = f"{shown} lies on both sides of {_limit(limit)}{_items_advice(found, limit, evidence.items)}"
    return Check("metric", "cannot tell", clause, found, limit)


def _items_advice(found: Interval, limit: float, items: int) -> str:
    distance = abs(found.value - limit)
    times = ((found.high - found.low) / 2 / distance) ** 2 if distance else math.inf
    if times > HOPELESS:
        return ", so close to it that more test items would hardly settle it"
    needed = math.ceil(max(times, 1.1) * items / 100) * 100
    return f" (about {needed:,} test items instead of {items:,} would settle it if the score stays)"


def check_worst_class(evidence: Evidence, at_least: float) -> Check:
    """The point estimate of the weakest class's recall decides; its interval is told beside it.

    The interval of one class rests on few items, so a floor on its lower end would refuse good models on small
    test splits. A class without test items leaves the floor unproven.
    """
    known = {name: recall for name, recall in evidence.recalls.items() if math.isfinite(recall.value)}
    absent = [name for name in evidence.recalls if name not in known]
    if not known:
        return Check("worst_class", "cannot tell", "no class has test items", limit=at_least)
    name = min(known, key=lambda each: known[each].value)
    found = known[name]
    value, low, high = (_number(number, at_least) for number in (found.value, found.low, found.high))
    shown = f"the weakest class ({name}, recall {value}, {_percent(evidence.confidence)} interval {low}–{high})"
    if at_least == 0:
        return Check("worst_class", "passed", f"{shown} has no floor to clear", found, at_least)
    if found.value < at_least:
        below = sum(recall.value < at_least for recall in known.values())
        more = f", as {'is' if below == 2 else 'are'} {below - 1} more" if below > 1 else ""  # noqa: PLR2004
        return Check("worst_class", "failed", f"{shown} is below {_limit(at_least)}{more}", found, at_least)
    if absent:
        clause = f"{_listed(absent)} {'has' if len(absent) == 1 else 'have'} no test items, so the recall is unknown"
        return Check("worst_class", "cannot tell", clause, found, at_least)
    return Check("worst_class", "passed", f"{shown} clears {_limit(at_least)}", found, at_least)


def check_baseline(evidence: Evidence, settings: BlessingSettings) -> Check:
    """No drop against the baseline beyond noise, on the same items.

    To demand proof that the drop is smaller than allowed would refuse a model that equals its baseline on any
    test split of ordinary size: with 860 items and 6 % disagreement the interval of no change is ±0.016. So
    the burden of proof lies on the drop. It fails the model when it is surely larger than allowed, or is
    surely there and its estimate is larger than allowed: an equal model meets that in one case in forty. It
    cannot be told when the interval reaches 0, yet too large a drop is nine times likelier than not: a test
    split too small to see such a drop must not let it pass in silence. That arises only where the standard
    error exceeds 1.5 times `must_not_drop_by`, and there for an equal model in at most one case in thirteen.
    """
    found, allowed = evidence.difference, settings.must_not_drop_by
    if found is None or not math.isfinite(found.value):
        clause = evidence.baseline_note or "there is no earlier model to compare with"
        return Check("baseline", "passed", clause, limit=-allowed)
    version = f" (version {evidence.baseline_version})" if evidence.baseline_version else ""
    way = f"{abs(found.value):.3f} {'above' if found.value > 0 else 'below'}" if found.value else "equal to"
    shown = (
        f"{_words(settings.metric)} is {way} the earlier model's{version} {_on_which(evidence)} "
        f"({_percent(evidence.confidence)} interval {_signed(found.low)} to {_signed(found.high)})"
    )
    if found.high < -allowed or (found.value < -allowed and found.high < 0):
        clause = f"{shown}, a drop beyond noise and beyond the allowed {_limit(allowed)}"
        return Check("baseline", "failed", clause, found, -allowed)
    if found.high >= 0 > found.value and _chance_below(found, -allowed, evidence.confidence) >= PROBABLY:
        clause = f"{shown}: probably a drop beyond the allowed {_limit(allowed)}, on too few test items to be sure"
        return Check("baseline", "cannot tell", clause, found, -allowed)
    ending = ", no drop beyond noise" if found.high >= 0 else f", within the allowed {_limit(allowed)}"
    ending = ending if found.value < 0 else ""
    return Check("baseline", "passed", f"{shown}{ending}", found, -allowed)


def _on_which(evidence: Evidence) -> str:
    if evidence.compared_items is None or evidence.compared_items == evidence.items:
        return "on the same items"
    return f"on the {evidence.compared_items:,} of {evidence.items:,} test items that it has not learnt from"


def _chance_below(found: Interval, limit: float, confidence: float) -> float:
    """Returns the chance that the true value lies below `limit`, reading the interval as a normal one."""
    error = (found.high - found.low) / 2 / NormalDist().inv_cdf((1 + confidence) / 2)
    return NormalDist().cdf((limit - found.value) / error) if error else float(found.value < limit)


def check_calibration(evidence: Evidence, at_most: float) -> Check:
    """The estimate must not exceed the ceiling; noise only raises it, so passing on the estimate is cautious."""
    found = evidence.calibration_error
    if not math.isfinite(found.value):
        return Check("calibration", "cannot tell", "the calibration error is unknown", found, at_most)
    shown = f"expected calibration error {_with_interval(found, at_most, evidence.confidence)}"
    if at_most >= 1:
        return Check("calibration", "passed", f"{shown} has no ceiling to keep", found, at_most, is_told=False)
    if found.value <= at_most:
        return Check("calibration", "passed", f"{shown} keeps below {_limit(at_most)}", found, at_most)
    if found.low > at_most:
        clause = f"{shown} exceeds {_limit(at_most)} even at its lower end"
        return Check("calibration", "failed", clause, found, at_most)
    return Check("calibration", "cannot tell", f"{shown} lies on both sides of {_limit(at_most)}", found, at_most)


def check_split_audit(audit: Mapping[str, Any]) -> Check:
    """Nothing may leak between the splits: a score on leaked items is no evidence."""
    if audit.get("is_clean"):
        clause = "no group and no near-duplicate is in two splits"
        return Check("split_audit", "passed", clause, is_told=False)
    groups = audit.get("groups_in_two_splits_count", 0)
    pairs = audit.get("near_duplicates_across_splits_count", 0)
    clause = (
        f"the split audit found {groups:,} groups and {pairs:,} near-duplicate pairs in two splits, "
        "so the score cannot be trusted"
    )
    return Check("split_audit", "failed", clause if audit else "there is no split audit")


def check_learnt_from(learnt: int | None, items: int) -> Check:
    """No test item may have shaped the model: with `train.weights`, those of an earlier training may have."""
    if learnt is None:
        return Check("learnt_from", "passed", "the model does not say what it has learnt from", is_told=False)
    found = Interval(learnt, math.nan, math.nan)
    if learnt == 0:
        clause = "the model has learnt from none of the test items"
        return Check("learnt_from", "passed", clause, found, 0, is_told=False)
    clause = (
        f"the model has learnt from {learnt:,} of the {items:,} test items or from others of their groups, so its "
        "score cannot be trusted (take train.weights that were trained with today's split, or none)"
    )
    return Check("learnt_from", "failed", clause, found, 0)


def check_agreement(predicted: float, evaluated: float | None) -> Check:
    """TFMA and our own predictions look at the same model and items, so their accuracies must agree."""
    limit = AGREEMENT_AT_MOST
    if evaluated is None:
        return Check("agreement", "failed", "the evaluator left no accuracy to hold the predictions against")
    found = Interval(abs(evaluated - predicted), math.nan, math.nan)
    shown = f"accuracy {evaluated:.4f} against {predicted:.4f}"
    if found.value <= limit:
        clause = f"the evaluator and the predictions agree ({shown})"
        return Check("agreement", "passed", clause, found, limit, is_told=False)
    return Check("agreement", "failed", f"the evaluator and the predictions disagree ({shown})", found, limit)


def _words(metric: str) -> str:
    return metric.replace("_", " ").replace("f1", "F1")


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g} %"


def _with_interval(found: Interval, limit: float, confidence: float) -> str:
    value, low, high = (_number(number, limit) for number in (found.value, found.low, found.high))
    return f"{value} ({_percent(confidence)} interval {low}–{high})"


def _number(number: float, limit: float) -> str:
    """Writes three decimals, or as many as set the number apart from the limit, at most six."""
    for decimals in range(3, 6):
        if number == limit or round(number, decimals) != round(limit, decimals):
            return f"{number:.{decimals}f}"
    return f"{number:.6f}"


def _limit(number: float) -> str:
    text = f"{number:.6f}".rstrip("0")
    return f"{number:.2f}" if len(text.split(".")[1]) < 2 else text  # noqa: PLR2004 (two decimals)


def _signed(number: float) -> str:
    return f"{'−' if number < 0 else ''}{abs(number):.3f}"


def _listed(clauses: Sequence[str]) -> str:
    """Joins clauses into one: "a", "a and b", "a, b, and c"."""
    if len(clauses) <= 2:  # noqa: PLR2004 (no comma between two)
        return " and ".join(clauses)
    return f"{', '.join(clauses[:-1])}, and {clauses[-1]}"
