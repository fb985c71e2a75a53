"""A report as a real run leaves it, made from a seed, and the same as artifact folders on disk."""

from __future__ import annotations

import copy
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLASSES = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential",
    "River", "SeaLake",
)  # fmt: skip
STAGES = (
    "spans", "baseline", "ingest", "split-audit", "statistics", "schema", "validate", "transform", "train", "evaluate",
    "predict", "bless", "serving-check", "push", "report",
)  # fmt: skip
SIZES = {"train": 3360, "validation": 576, "test": 864}


def estimate(value: float, half: float) -> dict[str, float]:
    return {
        "value": round(value, 4),
        "low": round(max(-1.0, value - half), 4),
        "high": round(min(1.0, value + half), 4),
    }


def tiny_image(rng: np.random.Generator, kind: int) -> bytes:
    """Returns a JPEG of 64×64 pixels with a hue and stripes that depend on `kind`."""
    from PIL import Image

    rows, columns = np.mgrid[0:64, 0:64]
    wave = np.sin((rows * np.cos(kind) + columns * np.sin(kind)) / (2 + kind % 4)) * 30
    hue = np.array([60 + 17 * kind, 150 - 9 * kind, 70 + 12 * (kind % 5)])
    pixels = hue + wave[..., None] + rng.normal(0, 8, (64, 64, 3))
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "JPEG")
    return out.getvalue()


def make_metrics(rng: np.random.Generator) -> dict[str, Any]:
    support = rng.integers(60, 110, len(CLASSES))
    confusion = np.zeros((len(CLASSES), len(CLASSES)), int)
    for true, n in enumerate(support):
        chances = np.full(len(CLASSES), 0.02) + np.eye(len(CLASSES))[true] * rng.uniform(4, 9)
        chances[(true + 5) % len(CLASSES)] += 0.5
        confusion[true] = rng.multinomial(n, chances / chances.sum())
    recall = confusion.diagonal() / confusion.sum(1)
    precision = confusion.diagonal() / confusion.sum(0)
    edges = np.linspace(0, 1, 11)
    bins = []
    for low, high in itertools.pairwise(edges):
        middle = (low + high) / 2
        bins.append(
            {
                "from": float(low),
                "to": float(high),
                "confidence": float(middle),
                "accuracy": float(min(1, middle**0.8)),
                "count": int(1000 * middle**4),
            }
        )
    accuracy = float(confusion.diagonal().sum() / confusion.sum())
    named = {"accuracy": accuracy, "balanced_accuracy": recall.mean(), "macro_f1": recall.mean() - 0.004}
    return {
        "items": int(confusion.sum()),
        "groups": 851,
        "confidence": 0.95,
        "resamples": 2000,
        "metrics": {name: estimate(float(value), 0.017) for name, value in named.items()}
        | {"log_loss": estimate(0.31, 0.04)},
        "notes": ["The model could not read 2 test items; they count as errors."],
        "per_class": [
            {
                "label": label,
                "support": int(n),
                "recall": estimate(float(r), 0.07),
                "precision": estimate(float(p), 0.06),
                "f1": estimate(float((r + p) / 2), 0.05),
            }
            for label, n, r, p in zip(CLASSES, support, recall, precision, strict=True)
        ],
        "confusion": confusion.tolist(),
        "calibration": {"expected_calibration_error": estimate(0.031, 0.009), "bins": bins},
        "slices": [
            {
                "slice": f"brightness_band={band}",
                "items": n,
                "metrics": {
                    "accuracy": estimate(0.9 - 0.05 * i, 0.03 + 0.01 * i),
                    "macro_f1": estimate(0.88 - 0.05 * i, 0.03),
                },
            }
            for i, (band, n) in enumerate((("middle", 510), ("dark", 260), ("bright", 94)))
        ],
        "baseline": {
            "version": "7",
            "metrics": {name: estimate(float(value) - 0.012, 0.018) for name, value in named.items()},
            "difference": {name: estimate(0.012 + 0.002 * i, 0.011) for i, name in enumerate(named)},
        },
        "worst_errors": [
            {
                "origin": f"{CLASSES[i % 10]}/{CLASSES[i % 10]}_{rng.integers(1, 3000)}.jpg",
                "sha256": f"{i:064x}",
                "label": CLASSES[i % 10],
                "predicted": CLASSES[(i + 5) % 10],
                "score": 0.99 - 0.01 * i,
            }
            for i in range(12)
        ],
        "tfma": {"accuracy": estimate(accuracy, 0.016)},
    }


def make_verdict(metrics: dict[str, Any]) -> dict[str, Any]:
    found = metrics["metrics"]["accuracy"]
    return {
        "verdict": "blessed",
        "sentence": f"Accuracy is {found['value']:.3f} and its interval begins at {found['low']:.3f}, above 0.85; no "
        "class is found too rarely, and the model is no worse than version 7.",
        "checks": [
            {
                "name": "metric",
                **found,
                "limit": 0.85,
                "outcome": "passed",
                "sentence": "The whole interval lies above the limit.",
            },
            {
                "name": "worst_class",
                "value": 0.72,
                "low": 0.61,
                "high": 0.81,
                "limit": 0.6,
                "outcome": "passed",
                "sentence": "The weakest class, River, is found often enough.",
            },
            {
                "name": "baseline",
                "value": 0.012,
                "low": 0.001,
                "high": 0.023,
                "limit": -0.01,
                "outcome": "passed",
                "sentence": "Better than version 7 beyond noise.",
            },
            {
                "name": "split_audit",
                "value": None,
                "low": None,
                "high": None,
                "limit": None,
                "outcome": "passed",
                "sentence": "No group and no near-duplicate is in two splits.",
            },
            {
                "name": "calibration",
                "value": 0.031,
                "low": 0.022,
                "high": 0.04,
                "limit": 0.035,
                "outcome": "cannot tell",
                "sentence": "The interval straddles the limit.",
            },
        ],
    }


def make_audit(rng: np.random.Generator) -> dict[str, Any]:
    shares = rng.dirichlet(np.full(len(CLASSES), 20.0))
    splits = {}
    for name, items in SIZES.items():
        counts = rng.multinomial(items, shares)
        splits[name] = {
            "items": items,
            "groups": items - 9,
            "classes": dict(zip(CLASSES, counts.tolist(), strict=True)),
        }
    return {
        "is_clean": True,
        "groups_in_two_splits": [],
        "groups_in_two_splits_count": 0,
        "near_duplicates_across_splits": [],
        "near_duplicates_across_splits_count": 0,
        "splits": splits,
        "largest_class_share_gap": 0.021,
        "random_split_gap": {
            "probe": "1-nearest-neighbour on 8×8 thumbnails",
            "grouped": estimate(0.41, 0.03),
            "random": estimate(0.47, 0.03),
            "gap": estimate(0.06, 0.04),
            "sentence": "A split at random would have made the probe look 6 points better than it is on unseen groups.",
        },
    }


def make_statistics(rng: np.random.Generator) -> dict[str, Any]:
    def numeric(n: int, low: float, high: float) -> dict[str, Any]:
        values = np.clip(rng.normal((low + high) / 2, (high - low) / 6, n), low, high)
        counts, edges = np.histogram(values, 10)
        histogram = [
            [float(a), float(b), float(c)] for (a, b), c in zip(itertools.pairwise(edges), counts, strict=True)
        ]
        return {
            "count": n,
            "missing": 0,
            "mean": float(values.mean()),
            "sd": float(values.std()),
            "min": float(values.min()),
            "median": float(np.median(values)),
            "max": float(values.max()),
            "zeros": 0,
            "histogram": histogram,
        }

    features = [
        {
            "name": name,
            "type": kind,
            "kind": "numeric",
            "splits": {split: numeric(n, low, high) for split, n in SIZES.items()},
        }
        for name, kind, low, high in (("brightness", "float", 0.1, 0.7), ("contrast", "float", 0.0, 0.3))
    ]
    texts = (
        ("image", 2900.5, lambda n: n, []),
        ("label", 8.2, lambda n: 10, [["River", 91], ["Forest", 88], ["Highway", 80]]),
    )
    for name, length, distinct, top in texts:
        splits = {
            s: {"count": n, "missing": 0, "distinct": distinct(n), "average_length": length, "top": top}
            for s, n in SIZES.items()
        }
        features.append({"name": name, "type": "string", "kind": "text", "splits": splits})
    return {"splits": {name: {"items": n} for name, n in SIZES.items()}, "features": features}


def make_training() -> dict[str, Any]:
    epochs = [
        {
            "epoch": i + 1,
            "loss": 0.6 + 1.6 * 0.87**i,
            "accuracy": 0.95 - 0.7 * 0.87**i,
            "val_loss": 0.7 + 1.5 * 0.86**i + 0.004 * i,
            "val_accuracy": 0.92 - 0.65 * 0.85**i,
            "learning_rate": 2e-3 * min(1, (i + 1) / 4) * (1 - i / 31),
            "seconds": 9.5,
        }
        for i in range(26)
    ]
    return {
        "epochs": epochs,
        "best_epoch": 18,
        "stopped_early": True,
        "network": "small_resnet",
        "parameters": 701_466,
        "train_seconds": 247.1,
    }


def make_quarantine() -> dict[str, Any]:
    reasons = {"truncated": 21, "not an image": 9, "zero bytes": 4, "duplicate in another class": 2}
    refused = [
        {
            "origin": f"River/river_{i}.jpg",
            "reason": "truncated",
            "detail": "image file is truncated (12 bytes not processed)",
            "bytes": 900 + i,
            "sha256": f"{i:064x}",
        }
        for i in range(20)
    ] + [
        {
            "origin": "River/<script>alert(1)</script>.jpg",
            "reason": "not an image",
            "detail": "<b>no</b>",
            "bytes": 3,
            "sha256": "0" * 64,
        }
    ]
    summary = {
        "items_read": 4836,
        "accepted": 4800,
        "refused": 36,
        "bad_share": 36 / 4836,
        "max_bad_share": 0.05,
        "by_reason": reasons,
        "by_class": {"River": 36},
    }
    return {"summary": summary, "refused": refused, "refused_count": 36}


def make_serving_check() -> dict[str, Any]:
    return {
        "passed": True,
        "sentence": "The model answers every signature as the trainer did, in a process that has only TensorFlow.",
        "checks": [
            {"name": "operations", "passed": True, "detail": "All 61 operations are on the allow-list."},
            {"name": "same_answers", "passed": True, "detail": "64 items, largest difference 0.0000021."},
            {
                "name": "null_answers",
                "passed": True,
                "detail": "3 unreadable images gave a reason, their neighbours an answer.",
            },
            {"name": "latency", "passed": True, "detail": "99 % within 14.1 ms; at most 1000 ms allowed."},
        ],
        "latency_ms": {"serving_default": {"p50": 9.8, "p99": 14.1}, "predict_image": {"p50": 8.9, "p99": 12.4}},
        "memory_mib": 612.0,
        "load_s": 1.9,
        "ops": ["AddV2", "Conv2D", "DecodeImage", "MatMul"],
        "max_probability_difference": 2.1e-6,
    }


def make_run() -> dict[str, Any]:
    lengths = (0.3, 0.1, 5.9, 5.1, 7.4, 0.2, 0.6, 11.8, 251.0, 9.9, 6.0, 1.2, 9.4, 0.9, 2.2)
    starts = np.cumsum([0, 0.3, 0, 5.9, 0, 7.4, 0.2, 0.6, 11.8, 251.0, 0, 9.9, 1.2, 9.4, 0.9])
    stages = [
        {
            "name": name,
            "state": "done",
            "started_utc": f"2026-11-21T03:{int(45 + start // 60):02d}:{start % 60:06.3f}Z",
            "ended_utc": None,
            "wall_s": wall,
            "cpu_s": wall * 1.7,
            "peak_memory_mib": 700.0 + wall,
            "energy_j": wall * 1.7 * 6,
            "energy_source": "estimate",
            "error": None,
        }
        for name, wall, start in zip(STAGES, lengths, starts, strict=True)
    ]
    return {
        "version": 1,
        "run_id": "20261121T034500Z",
        "application": "satellite/landcover",
        "state": "complete",
        "started_utc": "2026-11-21T03:45:00Z",
        "ended_utc": "2026-11-21T03:50:12Z",
        "fingerprint": "9f2c1a",
        "config": {},
        "data": {"path": "data/eurosat_rgb", "fingerprint": "c0ffee12", "items": 4836},
        "stages": stages,
        "artifacts": {},
        "verdict": None,
        "pushed": {"path": "serving/satellite-landcover/8", "version": "8"},
        "report": "report.html",
        "versions": {"earthloop": "0.1.0", "tfx": "1.21.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
        "machine": {"cores": 2, "memory_gib": 4.0, "system": "Linux 6.1 x86_64"},
    }


def make_report(seed: int = 1) -> dict[str, Any]:
    from evaluation.report.thumbnails import thumbnail

    rng = np.random.default_rng(seed)
    metrics = make_metrics(rng)
    items = {
        entry["sha256"]: thumbnail(tiny_image(rng, place % 10)) for place, entry in enumerate(metrics["worst_errors"])
    }
    return {
        "version": 1,
        "application": {
            "name": "satellite/landcover",
            "title": "Land cover from Sentinel-2 chips",
            "summary": "Names the land cover of a 64×64 pixel chip.",
            "task": "classification",
            "modality": "image",
            "group_by": "content",
            "classes": list(CLASSES),
        },
        "card": {
            "title": "Land cover",
            "summary": "Ten classes of land cover from RGB chips of Sentinel-2.",
            "facts": [
                {"name": "Licence", "text": "MIT (EuroSAT); Copernicus Sentinel data"},
                {"name": "Known gaps", "text": "• Europe only\n• no clouds"},
            ],
        },
        "code_version": "4b1f09",
        "configuration": {
            "version": 1,
            "blessing": {"metric": "accuracy"},
            "train": {"epochs": 30, "augment": ["flip", "rotate"]},
        },
        "verdict": make_verdict(metrics),
        "metrics": metrics,
        "pictures": {
            "items": items,
            "classes": {label: thumbnail(tiny_image(rng, i)) for i, label in enumerate(CLASSES)},
        },
        "statistics": make_statistics(rng),
        "anomalies": {
            "train": [],
            "validation": [],
            "test": [
                {
                    "feature": "contrast",
                    "severity": "warning",
                    "summary": "Out-of-range values",
                    "detail": "Unexpectedly high value: 0.53.",
                }
            ],
        },
        "audit": make_audit(rng),
        "quarantine": make_quarantine(),
        "training": make_training(),
        "baseline": {"version": "7"},
        "serving_check": make_serving_check(),
        "pushed": None,
        "hyperparameters": None,
        "artifacts": [
            {
                "stage": "ingest",
                "output": "examples",
                "kind": "Examples",
                "place": "ingest/examples/1",
                "files": 3,
                "bytes": 14_000_000,
            },
            {
                "stage": "train",
                "output": "model",
                "kind": "Model",
                "place": "train/model/7",
                "files": 9,
                "bytes": 3_100_000,
            },
        ],
        "run": make_run(),
    }


@pytest.fixture(scope="session")
def session_report() -> dict[str, Any]:
    return make_report()


@pytest.fixture
def report(session_report: dict[str, Any]) -> dict[str, Any]:
    """A complete report with its run; each test has its own copy."""
    return copy.deepcopy(session_report)


@pytest.fixture
def write_json() -> Any:
    """Writes a value as JSON, making the folders above it."""

    def write(path: Path, value: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")

    return write


@pytest.fixture
def images() -> list[bytes]:
    """Ten small JPEGs that look different."""
    rng = np.random.default_rng(3)
    return [tiny_image(rng, kind) for kind in range(10)]
