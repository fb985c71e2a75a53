"""The Beam pipeline of ingest: read, plan on a few facts per item, write each split in a fixed order."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

from applications import progress
from applications.formats.refusal import Refusal
from applications.formats.source import EXAMPLES, REFUSED
from applications.settings import IngestSettings, SplitSettings
from components.ingest.plan import Fact, Place, make_plan
from components.ingest.records import raw, text, write_records
from schemas import features

REFUSED_FILE, SUMMARY_FILE = "refused.jsonl", "summary.json"
_REPORT_EVERY = 250  # items

_ITEMS_PER_FILE = 2500  # of all splits together, about
_FILES_WHEN_UNKNOWN = 64

Record = tuple[str, str, bytes]  # SHA-256, origin, serialized Example
Gathered = tuple[int, Iterable[Record]]  # the records of one range of SHA-256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """All that one ingest needs to know.

    Attributes:
        group_by: the application's split unit.
        items: how many are expected, for the progress shown; 0 when unknown.
        examples_uri: folder of the examples artifact.
        quarantine_uri: folder of the quarantine artifact.
    """

    group_by: str
    ingest: IngestSettings
    split: SplitSettings
    items: int
    examples_uri: str
    quarantine_uri: str

    @property
    def files(self) -> int:
        """Number of ranges of SHA-256; each becomes one file per split."""
        return -(-self.items // _ITEMS_PER_FILE) if self.items else _FILES_WHEN_UNKNOWN


def run(pipeline: beam.Pipeline, read: beam.PTransform, job: Job) -> None:
    """Adds the ingest of one source to a pipeline.

    Args:
        pipeline: not yet run.
        read: the source's transform, giving `EXAMPLES` and `REFUSED`.
        job: what to do.
    """
    found = pipeline | "Read" >> read
    items = found[EXAMPLES] | "Describe" >> beam.ParDo(_Describe(job)).with_outputs("facts", main="records")
    plan = (
        pipeline
        | "Once" >> beam.Create([job])
        | "Plan" >> beam.Map(_decide, beam.pvalue.AsIter(items.facts), beam.pvalue.AsIter(found[REFUSED]))
    )
    _ = (
        items.records
        | "Pass" >> beam.Map(lambda pair: pair).with_output_types(tuple[int, Record])
        | "Gather" >> beam.GroupByKey()
        | "Write" >> beam.Map(_write, beam.pvalue.AsSingleton(plan), job)
    )


class _Describe(beam.DoFn):
    """Gives the serialized Example keyed by its range of SHA-256, and the facts on it as a tagged output."""

    def __init__(self, job: Job) -> None:
        self._items = job.items
        self._files = job.files
        self._done = 0

    def process(self, example: tf.train.Example) -> Iterator[Any]:
        """Handles one Example of the source."""
        thumbnail = raw(example, features.THUMBNAIL)
        example.features.feature.pop(features.THUMBNAIL, None)
        record = example.SerializeToString(deterministic=True)
        fact = Fact(
            origin=text(example, features.ORIGIN),
            sha256=text(example, features.SHA256),
            label=text(example, features.LABEL),
            group=text(example, features.GROUP),
            perceptual_hash=text(example, features.PERCEPTUAL_HASH),
            thumbnail=thumbnail,
            item_bytes=len(raw(example, features.IMAGE)),
        )
        yield (int(fact.sha256[:8], 16) * self._files >> 32), (fact.sha256, fact.origin, record)
        yield beam.pvalue.TaggedOutput("facts", tuple(fact))
        self._done += 1
        if self._done % _REPORT_EVERY == 0:
            progress.report("items", done=self._done, total=max(self._items, self._done))


def _decide(job: Job, facts: Iterable[tuple[Any, ...]], refused: Iterable[Refusal]) -> dict[str, tuple[Any, ...]]:
    """Plans, writes the quarantine, and returns the places as plain tuples, which Beam passes on fastest."""
    plan = make_plan((Fact(*fact) for fact in facts), refused, job.group_by, job.ingest, job.split)
    lines = "".join(json.dumps(refusal.to_dict(), ensure_ascii=False) + "\n" for refusal in plan.refused)
    _write_text(f"{job.quarantine_uri}/{REFUSED_FILE}", lines)
    _write_text(f"{job.quarantine_uri}/{SUMMARY_FILE}", json.dumps(plan.summary, indent=1, ensure_ascii=False) + "\n")
    return {origin: tuple(place) for origin, place in plan.places.items()}


def _write(gathered: Gathered, places: dict[str, tuple[Any, ...]], job: Job) -> None:
    """Writes the accepted records of one range, in the order of their SHA-256, which mixes the classes."""
    number, records = gathered
    by_split: dict[str, list[Record]] = {}
    for record in sorted(records):
        if record[1] in places:
            by_split.setdefault(Place(*places[record[1]]).split, []).append(record)
    for split, members in by_split.items():
        path = f"{job.examples_uri}/Split-{split}/data_tfrecord-{number:05d}-of-{job.files:05d}.gz"
        write_records(path, (_grouped(record, Place(*places[origin]).group) for _, origin, record in members))


def _grouped(record: bytes, group: str) -> bytes:
    example = tf.train.Example.FromString(record)
    example.features.feature[features.GROUP].bytes_list.value[:] = [group.encode()]
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


def _write_text(path: str, content: str) -> None:
    folder = path.rsplit("/", 1)[0]
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    with FileSystems.create(path, mime_type="text/plain") as file:
        file.write(content.encode())
