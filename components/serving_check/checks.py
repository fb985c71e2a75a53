"""What a model's answers must look like; pure, on what the clean process wrote down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from applications.settings import ServingCheckSettings
from components.serving_check.requests import Item

SIGNATURES = {"serving_default": "examples", "predict_image": "image"}  # name to its input's name
OUTPUTS = {  # name to dtype and number of dimensions, the batch first
    "probabilities": ("float32", 2),
    "classes": ("string", 2),
    "label": ("string", 1),
    "label_id": ("int64", 1),
    "score": ("float32", 1),
    "reason": ("string", 1),
}
TEST, ONE, TWO, UNREADABLE, TRAINER = (
    "test items",
    "one at a time",
    "two at a time",
    "unreadable images",
    "trainer's items",
)
SUM_TOLERANCE = 1e-3  # how far the probabilities of one item may be from a sum of 1
MUST_BE_NULL = ("empty", "garbage", "truncated")  # other damage may leave an image that a decoder can still read


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing an exported model must do.

    Attributes:
        name: a few words.
        passed: whether it does.
        detail: one sentence with the value and its limit.
    """

    name: str
    passed: bool
    detail: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is sent and what is expected.

    Attributes:
        classes: label names, in the order of `probabilities`.
        calls: name of a call to its items; `TEST`, `ONE`, `TWO`, `UNREADABLE` and `TRAINER`.
        trainer: float32 `[items, classes]`, the trainer's own probabilities of the items of `TRAINER`.
        missing: SHA-256 of the items the trainer wrote down that the validation split lacks.
        settings: the limits.
    """

    classes: tuple[str, ...]
    calls: Mapping[str, Sequence[Item]]
    trainer: np.ndarray
    settings: ServingCheckSettings
    missing: Sequence[str] = ()


class NoAnswer(Exception):
    """A call gave no answer that can be compared; the text says what it gave."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """The clean process's answers by call, signature and output."""

    record: Mapping[str, Any]

    def rows(self, call: str, signature: str, output: str) -> list[Any]:
        """Returns one entry per item of a call."""
        error = self.record["errors"].get(call, {}).get(signature)
        if error is not None:
            raise NoAnswer(f"{signature} failed on {call}: {error}")
        return list(self.record["answers"][call][signature][output])

    def probabilities(self, call: str, signature: str) -> np.ndarray:
        """Returns float64 `[items, classes]`."""
        return np.asarray(self.rows(call, signature, "probabilities"), np.float64)


def judge(record: Mapping[str, Any], plan: Plan) -> list[Check]:
    """Holds what the clean process wrote against what is expected.

    Args:
        record: the answers' JSON of `clean_process`.
        plan: what was sent.

    Returns:
        One `Check` per demand; only the first two where the signatures are not those of the contract.
    """
    answers = Answers(record)
    checks = [_only_tensorflow(record), _signatures(record["signatures"])]
    if not checks[-1].passed:
        return checks
    demands: dict[str, Callable[[Answers, Plan], tuple[bool, str]]] = {
        "answers are sound": _sound,
        "batch size does not matter": _batch_sizes,
        "signatures agree": _signatures_agree,
        "trainer agrees": _trainer_agrees,
        "unreadable images get a null answer": _unreadable,
        "latency": _latency,
        "memory": _memory,
    }
    for name, demand in demands.items():
        try:
            checks.append(Check(name, *demand(answers, plan)))
        except NoAnswer as error:
            checks.append(Check(name, False, str(error)))
    return checks


def trainer_difference(record: Mapping[str, Any], plan: Plan) -> float | None:
    """Returns the largest difference from the trainer's probabilities; None if nothing can be compared."""
    try:
        worst = max(_difference(Answers(record).probabilities(TRAINER, name), plan.trainer)[0] for name in SIGNATURES)
    except (NoAnswer, KeyError):
        return None
    return worst if plan.calls[TRAINER] and np.isfinite(worst) else None


def _only_tensorflow(record: Mapping[str, Any]) -> Check:
    foreign = record["foreign_modules"]
    detail = (
        f"the model also asked for {', '.join(foreign)}, which a server does not have"
        if foreign
        else "nothing but TensorFlow was loaded"
    )
    return Check("needs only TensorFlow", not foreign, detail)


def _signatures(found: Mapping[str, Any]) -> Check:
    wrong = [
        f"{name} is missing; there are {', '.join(sorted(found)) or 'none'}" for name in SIGNATURES if name not in found
    ]
    for name, argument in SIGNATURES.items():
        if name in found:
            wrong += _specs_differ(f"{name}'s input", found[name]["inputs"], {argument: ("string", 1)}, extra=False)
            wrong += _specs_differ(f"{name}'s output", found[name]["outputs"], OUTPUTS, extra=True)
    return Check("signatures", not wrong, "; ".join(wrong) or "both signatures have the contract's inputs and outputs")


def _specs_differ(
    what: str, found: Mapping[str, Any], expected: Mapping[str, tuple[str, int]], *, extra: bool
) -> list[str]:
    wrong = [f"{what} {name} is missing" for name in expected if name not in found]
    wrong += [] if extra else [f"{what} {name} is not in the contract" for name in found if name not in expected]
    for name, (dtype, rank) in expected.items():
        got_dtype, shape = found.get(name, (dtype, None))
        if got_dtype != dtype:
            wrong.append(f"{what} {name} must be {dtype}, got {got_dtype}")
        if shape is not None and (len(shape) != rank or shape[0] is not None):
            wrong.append(f"{what} {name} must have {rank} dimensions with a free batch, got shape {shape}")
    return wrong


def _sound(answers: Answers, plan: Plan) -> tuple[bool, str]:
    for signature in SIGNATURES:
        for place, item in enumerate(plan.calls[TEST]):
            wrong = _unsound(answers, plan.classes, (TEST, signature, place))
            if wrong:
                return False, f"{signature} on item {item.sha256[:12]}: {wrong}"
    return (
        True,
        f"{len(plan.calls[TEST])} test items have probabilities that sum to 1, and a label, score and classes that fit",
    )


def _unsound(answers: Answers, classes: Sequence[str], key: tuple[str, str, int]) -> str:
    """Says what is wrong with one answer to a readable image, or ""."""
    call, signature, place = key
    row = {output: answers.rows(call, signature, output)[place] for output in OUTPUTS}
    probabilities = np.asarray(row["probabilities"], np.float64)
    if row["reason"]:
        return f"a readable image was refused ({row['reason']!r})"
    return _unsound_probabilities(probabilities, len(classes)) or _unsound_label(row, probabilities, classes)


def _unsound_probabilities(probabilities: np.ndarray, classes: int) -> str:
    if probabilities.shape != (classes,):
        return f"probabilities must be {classes} numbers, got shape {list(probabilities.shape)}"
    is_distribution = np.isfinite(probabilities).all() and (probabilities >= 0).all()
    if not is_distribution or abs(probabilities.sum() - 1) > SUM_TOLERANCE:
        return f"probabilities must be 0 or above and sum to 1 ± {SUM_TOLERANCE}, got {probabilities.round(4).tolist()}"
    return ""


def _unsound_label(row: Mapping[str, Any], probabilities: np.ndarray, classes: Sequence[str]) -> str:
    if row["classes"] != list(classes):
        return f"classes must be {', '.join(classes)}, got {', '.join(row['classes'])}"
    best = row["label_id"]
    if not 0 <= best < len(classes) or probabilities[best] < probabilities.max() or row["label"] != classes[best]:
        return f"label {row['label']!r} ({best}) is not the class with the highest probability"
    if abs(row["score"] - probabilities.max()) > SUM_TOLERANCE:
        return f"score must be the highest probability {probabilities.max():.4f}, got {row['score']:.4f}"
    return ""


def _batch_sizes(answers: Answers, plan: Plan) -> tuple[bool, str]:
    pairs = []
    for signature in SIGNATURES:
        full = answers.probabilities(TEST, signature)
        for call in (ONE, TWO):
            part = answers.probabilities(call, signature)
            pairs.append((part, full[: len(part)], f"{signature}, {call}"))
    return _within(pairs, plan, "between batches of 1, 2 and 32")


def _signatures_agree(answers: Answers, plan: Plan) -> tuple[bool, str]:
    one, other = (answers.probabilities(TEST, signature) for signature in SIGNATURES)
    return _within([(one, other, TEST)], plan, f"between {' and '.join(SIGNATURES)}")


def _trainer_agrees(answers: Answers, plan: Plan) -> tuple[bool, str]:
    if plan.missing:
        return False, (
            f"every item of the trainer's trainer_predictions.json must be in the validation split, but "
            f"{len(plan.missing)} of {len(plan.missing) + len(plan.trainer)} are not, such as {plan.missing[0][:12]}. "
            "Train again on these examples"
        )
    if not plan.calls[TRAINER]:
        return False, (
            "the trainer wrote no trainer_predictions.json, or one without items, so there is nothing to compare. "
            "Train again"
        )
    pairs = [(answers.probabilities(TRAINER, signature), plan.trainer, signature) for signature in SIGNATURES]
    return _within(pairs, plan, f"from the trainer's own predictions of {len(plan.trainer)} validation items")


def _within(pairs: Iterable[tuple[np.ndarray, np.ndarray, str]], plan: Plan, what: str) -> tuple[bool, str]:
    """Compares pairs of probabilities with the tolerance; NaN never passes."""
    worst, where = 0.0, ""
    for one, other, name in pairs:
        difference, row = _difference(one, other)
        if not difference <= worst:
            worst, where = difference, f" ({name}, item {row})"
    limit = plan.settings.probability_tolerance
    passed = worst <= limit
    rule = "at most" if passed else "above"
    return passed, f"largest probability difference {what} is {worst:.2g}{'' if passed else where}, {rule} {limit:g}"


def _difference(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """Returns the largest difference and its row; infinite where the shapes differ or a number is missing."""
    if one.shape != other.shape:
        return float("inf"), 0
    by_row = np.nan_to_num(np.abs(one - other), nan=np.inf).max(axis=1, initial=0.0)
    return (float(by_row.max()), int(by_row.argmax())) if len(by_row) else (0.0, 0)


def _unreadable(answers: Answers, plan: Plan) -> tuple[bool, str]:
    wrong = []
    for signature in SIGNATURES:
        alone = {
            item.sha256: row for item, row in zip(plan.calls[TEST], answers.probabilities(TEST, signature), strict=True)
        }
        for place, item in enumerate(plan.calls[UNREADABLE]):
            row = answers.probabilities(UNREADABLE, signature)[place]
            if item.damage:
                problem = _not_null(answers, plan, (UNREADABLE, signature, place), item.damage)
            else:
                difference, _ = _difference(row[None], alone[item.sha256][None])
                changed = not difference <= plan.settings.probability_tolerance
                problem = f"the sound image beside it changed its answer by {difference:.2g}" if changed else ""
            wrong += [f"{signature}, place {place} ({item.damage or 'sound'}): {problem}"] if problem else []
    passed = f"{', '.join(MUST_BE_NULL)}: a reason instead of an answer; the images beside them are answered as before"
    return not wrong, "; ".join(wrong) or passed


def _not_null(answers: Answers, plan: Plan, key: tuple[str, str, int], damage: str) -> str:
    """Says what is wrong with the answer to a damaged image, or ""."""
    call, signature, place = key
    row = {output: answers.rows(call, signature, output)[place] for output in OUTPUTS}
    if not row["reason"]:
        if damage in MUST_BE_NULL:
            return f"must have a reason, but was answered as {row['label']!r}"
        return _unsound(answers, plan.classes, key)
    if row["label"] or row["label_id"] != -1 or row["score"] or any(row["probabilities"]):
        return "must have label '', label_id -1, score 0 and probabilities 0 beside its reason"
    return ""


def _latency(answers: Answers, plan: Plan) -> tuple[bool, str]:
    limit = plan.settings.p99_ms_at_most
    found = answers.record["latency_ms"]
    missing = [signature for signature in SIGNATURES if signature not in found]
    if missing:
        raise NoAnswer(f"{', '.join(missing)} could not be timed, as it gave no answer")
    slow = [name for name, value in found.items() if not value["p99"] <= limit]
    text = ", ".join(f"{name} p50 {value['p50']:.1f} ms, p99 {value['p99']:.1f} ms" for name, value in found.items())
    return not slow, f"one image at a time: {text}; p99 {'above' if slow else 'at most'} {limit:g} ms"


def _memory(answers: Answers, plan: Plan) -> tuple[bool, str]:
    peak, limit = answers.record["memory_mib"], plan.settings.memory_mib_at_most
    passed = peak <= limit
    return passed, f"peak resident memory is {peak:.0f} MiB, {'at most' if passed else 'above'} {limit} MiB"
