"""What TFMA is asked to compute, and how its answer is read.

TFMA is imported only inside the functions, so that light commands may import this module.
"""

from __future__ import annotations

import json
from typing import Any

from applications.settings import EvaluateSettings
from applications.spec import Application
from schemas import features

SIGNATURE = "serving_default"
SIGNATURE_INPUT = "examples"
PREDICTION_KEY = "probabilities"  # of the signature's outputs; TFMA leaves the text outputs beside it alone
GROUPED = "evaluation.tfma_metrics"
GROUPED_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
CANDIDATE = "candidate"  # TFMA's name for the new model where there is a baseline


def build(application: Application, settings: EvaluateSettings) -> Any:
    """Returns the `tfma.EvalConfig` of an application.

    It names one model; TFX adds the baseline to it where there is one. It has no thresholds, so that TFX's
    Evaluator writes no blessing: that is the stage `bless`, which knows what an interval is. It does not use
    `compute_confidence_intervals`: `evaluation.tfma_metrics` says why.

    Args:
        application: gives classes and slices.
        settings: confidence, resamples and seed of the group bootstrap.
    """
    import tensorflow_model_analysis as tfma

    grouped = {
        "classes": len(application.classes),
        "confidence": settings.confidence,
        "resamples": settings.resamples,
        "seed": settings.seed,
    }
    metrics = [
        tfma.MetricConfig(class_name="ExampleCount"),
        tfma.MetricConfig(class_name="SparseCategoricalAccuracy", config=json.dumps({"name": "accuracy"})),
        tfma.MetricConfig(class_name="SparseCategoricalCrossentropy", config=json.dumps({"name": "log_loss"})),
        tfma.MetricConfig(class_name="MultiClassConfusionMatrixPlot"),
        tfma.MetricConfig(class_name="GroupedClassification", module=GROUPED, config=json.dumps(grouped)),
    ]
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(signature_name=SIGNATURE, prediction_key=PREDICTION_KEY, label_key=features.LABEL_ID)
        ],
        slicing_specs=[
            tfma.SlicingSpec(),
            *(tfma.SlicingSpec(feature_keys=list(keys)) for keys in application.slices),
        ],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


def read_metrics(path: str) -> dict[str, dict[str, float | None]]:
    """Reads the overall metrics of the candidate from a ModelEvaluation.

    Args:
        path: folder of the artifact.

    Returns:
        Name → `value`, `low`, `high`. The value of accuracy is TFMA's own count; the interval ends come from the
        group bootstrap. Empty where the evaluation has no overall slice.
    """
    import tensorflow_model_analysis as tfma

    for model_name in (None, CANDIDATE):
        for key, found in tfma.load_eval_result(path, model_name=model_name).slicing_metrics:
            if key == () and found.get("", {}).get(""):
                return _overall(found[""][""])
    return {}


def _overall(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    overall: dict[str, dict[str, float | None]] = {}
    for name in GROUPED_METRICS:
        bounded = found.get(f"grouped_{name}", {}).get("boundedValue")
        if bounded:
            overall[name] = {
                "value": bounded["value"],
                "low": bounded["lowerBound"],
                "high": bounded["upperBound"],
            }
    for name in ("accuracy", "log_loss"):
        if "doubleValue" in found.get(name, {}):
            overall.setdefault(name, {"low": None, "high": None})["value"] = found[name]["doubleValue"]
    return overall
