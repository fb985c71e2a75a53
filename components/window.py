"""The data that a run reads, as its stages tell one another: `window.json` of the artifact `DataWindow`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from applications import spans
from applications.data_fingerprint import fingerprint_of
from applications.settings import SpanSettings
from applications.spans import Span

FILE_NAME = "window.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """The spans of one run.

    Attributes:
        pattern: the data path; it may be a plain one.
        spans: at least one, oldest first.
        fingerprint: 16 hexadecimal digits over names, sizes and times of all files.
        files: count.
        size_mib: MiB of all files.
    """

    pattern: str
    spans: Sequence[Span]
    fingerprint: str
    files: int
    size_mib: float

    @property
    def folders(self) -> dict[str, str]:
        """Name → path of each span, oldest first; the name of a plain path is ""."""
        return spans.folders(self.pattern, self.spans)

    @property
    def newest(self) -> Span:
        """The newest span."""
        return self.spans[-1]

    @property
    def sentence(self) -> str:
        """What is read, in words; "" for a plain path."""
        words = spans.words(self.pattern, self.spans)
        return f"Reads {words}: {self.files} files, {self.size_mib:.1f} MiB." if words else ""

    def write(self, folder: Path) -> None:
        """Writes `window.json`."""
        told = {
            "pattern": self.pattern,
            "root": spans.root(self.pattern),
            "spans": [
                {**dataclasses.asdict(span), "name": name} for span, name in zip(self.spans, self.folders, strict=True)
            ],
            "fingerprint": self.fingerprint,
            "files": self.files,
            "size_mib": self.size_mib,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def look(pattern: str, settings: SpanSettings) -> Window:
    """Resolves a data path and fingerprints what it names.

    Raises:
        UsageError: it is a pattern that means nothing.
        DataError: nothing is there, or a span is not one folder.
    """
    found = spans.resolve(pattern, settings)
    files = fingerprint_of(spans.folders(pattern, found))
    return Window(pattern=pattern, spans=found, fingerprint=files.digest, files=files.files, size_mib=files.size_mib)


def read(folder: Path) -> Window:
    """Reads what `Window.write` wrote."""
    told = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    return Window(
        pattern=told["pattern"],
        spans=tuple(Span(each["number"], each["version"], each["path"]) for each in told["spans"]),
        fingerprint=told["fingerprint"],
        files=told["files"],
        size_mib=told["size_mib"],
    )
