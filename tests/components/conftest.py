"""Small raw folders, and the real ingest run over them."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from applications import discovery
from applications.settings import IngestSettings, SpanSettings, SplitSettings
from applications.spec import Application


def picture(seed: int, tint: int = 0) -> npt.NDArray[np.uint8]:
    """A picture with structure of its own, uint8 `[32, 32, 3]`."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 160, (8, 8, 3)).astype(np.uint8)
    large = np.asarray(Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC))
    return np.clip(large + np.eye(3, dtype=np.int64)[tint % 3] * 60, 0, 255).astype(np.uint8)


def encoded(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG bytes of an image."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def write_chips(root: Path, application: Application, per_class: int) -> Path:
    """Writes a folder per class with so many different pictures each."""
    for number, name in enumerate(application.classes):
        (root / name).mkdir(parents=True)
        for item in range(per_class):
            (root / name / f"{item:03d}.png").write_bytes(encoded(picture(number * 1000 + item, number)))
    return root


@dataclasses.dataclass
class Ingested:
    """Artifacts of one ingest."""

    examples: Any
    quarantine: Any

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(Path(self.quarantine.uri, "summary.json").read_text())
        return summary

    @property
    def refused(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in Path(self.quarantine.uri, "refused.jsonl").read_text().splitlines()]

    def files(self) -> dict[str, bytes]:
        """Relative path → content of everything written under the examples."""
        root = Path(self.examples.uri)
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    def rows(self) -> Iterator[tuple[str, Any]]:
        """Split and Example of every item, in the order written."""
        import tensorflow as tf

        from components.split_records import records

        for split in self.examples.splits:
            for path in sorted(Path(self.examples.uri, f"Split-{split}").glob("*")):
                for record in records([str(path)]):
                    yield split, tf.train.Example.FromString(record)


def run_ingest(
    data: Path | str, out: Path, application: Application, *, beam: tuple[str, ...] = (), **ingest: Any
) -> Ingested:
    """Runs the executor as TFX would; the data may be a pattern of spans."""
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types.standard_artifacts import Examples

    from components import DataWindow, Quarantine
    from components.ingest.executor import Executor
    from components.window import look

    window, examples, quarantine = DataWindow(), Examples(), Quarantine()
    window.uri, examples.uri, quarantine.uri = (str(out / name) for name in ("window", "examples", "quarantine"))
    look(str(data), SpanSettings()).write(Path(window.uri))
    settings = {
        "ingest": dataclasses.asdict(IngestSettings(**ingest)),
        "split": dataclasses.asdict(application.split),
    }
    arguments = ["--runner=FnApiRunner", "--sdk_container_image=unused", *beam]
    context = BaseBeamExecutor.Context(beam_pipeline_args=arguments, tmp_dir=str(out))
    properties = {"application": application.name, "settings": json.dumps(settings)}
    Executor(context).Do({"window": [window]}, {"examples": [examples], "quarantine": [quarantine]}, properties)
    return Ingested(examples, quarantine)


@pytest.fixture
def ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chips: Application) -> Callable[..., Ingested]:
    """Runs ingest over a folder: `ingest(data, application=…, beam=…, max_bad_share=…)`."""
    count = iter(range(1000))

    def run(data: Path | str, *, application: Application = chips, **options: Any) -> Ingested:
        monkeypatch.setattr(discovery, "load", lambda _: application)
        return run_ingest(data, tmp_path / f"ingest-{next(count)}", application, **options)

    return run


@pytest.fixture
def chips_folder(tmp_path: Path, chips: Application) -> Path:
    """Three classes of 30 different pictures."""
    return write_chips(tmp_path / "chips", chips, 30)


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory, chips: Application) -> Ingested:
    """An ingest of 3 × 40 pictures that several tests read and none changes."""
    root = tmp_path_factory.mktemp("ingested")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "load", lambda _: chips)
        return run_ingest(write_chips(root / "chips", chips, 40), root / "out", chips)


@pytest.fixture(scope="session")
def make_picture() -> Callable[[int], npt.NDArray[np.uint8]]:
    """Seed → uint8 `[32, 32, 3]`."""
    return picture


@pytest.fixture(scope="session")
def to_png() -> Callable[[npt.NDArray[np.uint8]], bytes]:
    """Pixels → PNG bytes."""
    return encoded


@pytest.fixture(scope="session")
def even_split() -> SplitSettings:
    """Half of the groups train, the rest shared out."""
    return SplitSettings(train=0.5, validation=0.25, test=0.25, seed=1)
