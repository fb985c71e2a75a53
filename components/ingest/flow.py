"""The Beam pipeline of ingest: read, plan on a few facts per item, write each split in a fixed order.

Between reading and writing no content is kept: it is read again when it is written, so memory grows with the number of
items, not with their size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from applications import progress
from applications.errors import StageError
from applications.formats.refusal import Refused
from applications.formats.source import Batch, Item
from applications.settings import IngestSettings, SplitSettings
from components.ingest.plan import Plan, make_plan
from components.ingest.portions import Portions
from components.ingest.records import make_example, write_records

REFUSED_FILE, SUMMARY_FILE = "refused.jsonl", "summary.json"
_REPORT_EVERY = 250  # items
_ITEMS_PER_FILE = 2500  # of all splits together, about


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """All that one ingest needs to know.

    Attributes:
        portions: reads the items.
        group_by: the application's split unit.
        items: how many are expected, for the progress shown; 0 when unknown.
        examples_uri: folder of the examples artifact.
        quarantine_uri: folder of the quarantine artifact.
    """

    portions: Portions
    group_by: str
    ingest: IngestSettings
    split: SplitSettings
    items: int
    examples_uri: str
    quarantine_uri: str


@dataclasses.dataclass(frozen=True)
class _File:
    """A file that is still to be written, and its items in order, each with its split unit as group."""

    path: str
    items: list[Item]


def run(pipeline: beam.Pipeline, job: Job) -> None:
    """Adds an ingest to a pipeline.

    Args:
        pipeline: not yet run.
        job: what to do.
    """
    batches = pipeline | "Read" >> job.portions.items() | "Count" >> beam.ParDo(_Count(job.items))
    _ = (
        pipeline
        | "Once" >> beam.Create([job])
        | "Plan" >> beam.FlatMap(_plan, beam.pvalue.AsIter(batches))
        | "Spread" >> beam.Reshuffle()
        | "Write" >> beam.Map(_write, job.portions)
    )


class _Count(beam.DoFn):
    """Passes everything on and reports how far reading is."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._done = 0

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Handles one batch of the source."""
        yield batch
        before = self._done
        self._done += len(batch.items) + len(batch.refused)
        if self._done // _REPORT_EVERY > before // _REPORT_EVERY:
            progress.report("items", done=self._done, total=max(self._expected, self._done))


def _plan(job: Job, batches: Iterable[Batch]) -> Iterator[_File]:
    """Plans, writes the quarantine, and says what each file of examples will hold."""
    items, refused = [], []
    for batch in batches:
        items += batch.items
        refused += batch.refused
    plan = make_plan(items, refused, job.group_by, job.ingest, job.split)
    lines = "".join(json.dumps(refusal.to_dict(), ensure_ascii=False) + "\n" for refusal in plan.refused)
    _write_text(f"{job.quarantine_uri}/{REFUSED_FILE}", lines)
    _write_text(f"{job.quarantine_uri}/{SUMMARY_FILE}", json.dumps(plan.summary, indent=1, ensure_ascii=False) + "\n")
    yield from _files(plan, items, job.examples_uri)


def _files(plan: Plan, items: Iterable[Item], examples_uri: str) -> Iterator[_File]:
    """Shares out the accepted items by ranges of their SHA-256, whose order mixes the classes."""
    count = -(-plan.summary["items_read"] // _ITEMS_PER_FILE)
    files: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: (item.sha256, item.origin)):
        if item.origin in plan.places:
            place = plan.places[item.origin]
            number = int(item.sha256[:8], 16) * count >> 32
            path = f"{examples_uri}/Split-{place.split}/data_tfrecord-{number:05d}-of-{count:05d}.gz"
            files.setdefault(path, []).append(item._replace(group=place.group, thumbnail=b""))
    for path, members in files.items():
        yield _File(path, members)


def _write(file: _File, portions: Portions) -> None:
    write_records(file.path, (_record(item, portions) for item in file.items))


def _record(item: Item, portions: Portions) -> bytes:
    """Completes the Example of an item.

    Raises:
        StageError: the content is no longer what the plan was made on.
    """
    try:
        content = portions.content(item.address)
    except Refused as refused:
        raise _changed(item, str(refused)) from refused
    if hashlib.sha256(content).hexdigest() != item.sha256:
        raise _changed(item, "its content is another one now")
    return make_example(item, content).SerializeToString(deterministic=True)


def _changed(item: Item, how: str) -> StageError:
    return StageError(
        f"the data must stay as they are while ingest runs, but {item.origin} has changed ({how}). "
        "Run again when nothing writes there any more."
    )


def _write_text(path: str, content: str) -> None:
    folder = path.rsplit("/", 1)[0]
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    with FileSystems.create(path, mime_type="text/plain") as file:
        file.write(content.encode())
