"""Reads the written examples back and makes sure that nothing of the test split was seen in training."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils
from tfx.types.standard_artifacts import Examples

from applications.formats.perceptual import THUMBNAIL_PX, thumbnail
from applications.settings import EvaluateSettings, IngestSettings
from components import split_records
from components.artifacts import SplitAudit
from components.ingest.records import raw, text
from evaluation import leak_probe, leakage
from schemas import features

AUDIT_FILE = "audit.json"
_LARGE_PX = 512  # beyond it an image is averaged first, as ingest does

_log = logging.getLogger(__name__)

Thumbnails = npt.NDArray[np.uint8]


@component
def AuditSplits(
    examples: InputArtifact[Examples],
    audit: OutputArtifact[SplitAudit],
    settings: Parameter[str],
    code_version: Parameter[str] = "",
) -> None:
    """Writes `audit.json`: shared groups, look-alikes, class shares, and what a random split would have added.

    Args:
        examples: all splits.
        audit: gets `audit.json` and the property `is_clean`; the blessing asks for it.
        settings: JSON of the sections `ingest` and `evaluate`.
        code_version: digest of the code behind this stage, for the cache.
    """
    del code_version
    sections = json.loads(settings)
    bits = IngestSettings(**sections["ingest"]).near_duplicate_bits
    found = audited(examples, bits, EvaluateSettings(**sections["evaluate"]))
    fileio.makedirs(audit.uri)
    with fileio.open(f"{audit.uri}/{AUDIT_FILE}", "w") as file:
        file.write(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    audit.set_int_custom_property("is_clean", int(found["is_clean"]))


def audited(examples: Artifact, bits: int, settings: EvaluateSettings) -> dict[str, Any]:
    """Audits an Examples artifact.

    The records are read twice, once for what is small and once for the images that are looked at, so memory
    does not grow with the images.

    Args:
        examples: with its splits.
        bits: largest distance of two perceptual hashes whose images are compared.
        settings: of the probe's intervals.

    Returns:
        The content of `audit.json`.
    """
    items = _items(examples)
    pairs = leakage.candidate_pairs(items, bits)
    sampled = leak_probe.sample(items.groups)
    wanted = np.union1d(pairs.ravel(), sampled) if items.hashes is not None else np.zeros(0, np.intp)
    thumbnails = _thumbnails(examples, wanted, len(items))
    found = leakage.findings(items, leakage.alike_pairs(items, pairs, thumbnails, bits))
    found["random_split_gap"] = None
    if items.hashes is not None:
        found["random_split_gap"] = leak_probe.random_split_gap(
            [items.splits[place] for place in sampled],
            [items.labels[place] for place in sampled],
            [items.groups[place] for place in sampled],
            thumbnails[sampled],
            settings,
        )
    _warn(found)
    return found


def _records(examples: Artifact) -> Iterator[tuple[str, bytes]]:
    """Yields split and serialized Example of every item, always in the same order."""
    for split in artifact_utils.decode_split_names(examples.split_names):
        for record in split_records.records(split_records.split_files(Path(examples.uri), split)):
            yield split, record


def _items(examples: Artifact) -> leakage.Items:
    rows = [(split, *_facts(record)) for split, record in _records(examples)]
    splits, origins, groups, labels, sha256, codes = zip(*rows, strict=True) if rows else [()] * 6
    hashes = np.array([int(code, 16) for code in codes], np.uint64) if rows and all(codes) else None
    return leakage.Items(origins=origins, splits=splits, groups=groups, labels=labels, sha256=sha256, hashes=hashes)


def _facts(record: bytes) -> tuple[str, str, str, str, str]:
    example = tf.train.Example.FromString(record)
    sha256 = text(example, features.SHA256)
    return (
        text(example, features.ORIGIN),
        text(example, features.GROUP) or sha256,
        text(example, features.LABEL),
        sha256,
        text(example, features.PERCEPTUAL_HASH),
    )


def _thumbnails(examples: Artifact, wanted: npt.NDArray[np.intp], count: int) -> Thumbnails:
    """Uint8 `[items, 8, 8, 3]`, filled for the wanted places."""
    thumbnails = np.zeros((count if len(wanted) else 0, THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8)
    places = set(wanted.tolist())
    for place, (_, record) in enumerate(_records(examples) if places else ()):
        if place in places:
            thumbnails[place] = _thumbnail(raw(tf.train.Example.FromString(record), features.IMAGE))
    return thumbnails


def _thumbnail(data: bytes) -> Thumbnails:
    with Image.open(io.BytesIO(data)) as image:
        colour = image.convert("RGB")
    smaller = max(1, min(colour.size) // _LARGE_PX)
    return thumbnail(np.asarray(colour.reduce(smaller) if smaller > 1 else colour))


def _warn(found: dict[str, Any]) -> None:
    if not found["is_clean"]:
        _log.warning(
            "the splits are not clean: %s groups and %s pairs of look-alikes lie in two splits; "
            "no model will be blessed. See audit.json.",
            found["groups_in_two_splits_count"],
            found["near_duplicates_across_splits_count"],
        )
