"""The contract of an application: what it predicts, from what, and when its model is good enough.

A spec is data only; importing it never imports TensorFlow or Beam.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from applications import settings
from applications.errors import ConfigError

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application:
    """One thing Earthloop predicts.

    Attributes:
        name: `<system>/<application>`, the folder under `applications/`.
        title: a few words for people.
        summary: one sentence for `earthloop list`.
        task: names `trainer/<task>.py`.
        modality: names `transform/<modality>.py`.
        source: dotted name of the class that reads and synthesizes the data.
        classes: label names, in the order of the model's outputs.
        group_by: the split unit; "content" means near-duplicate clusters of the items themselves,
            any other word names the source's own groups, which are joined where they share near-duplicates.
        slices: feature names by which the evaluation is broken down.
        synthetic_items: size of the synthetic sample that a run without data makes.
    """

    name: str
    title: str
    summary: str
    task: Literal["classification"]
    modality: Literal["image"]
    source: str
    classes: tuple[str, ...]
    group_by: str = "content"
    slices: tuple[tuple[str, ...], ...] = ()
    synthetic_items: int = 1200
    image: settings.ImageSettings = settings.ImageSettings()
    ingest: settings.IngestSettings = settings.IngestSettings()
    split: settings.SplitSettings = settings.SplitSettings()
    validate: settings.ValidateSettings = settings.ValidateSettings()
    train: settings.TrainSettings = settings.TrainSettings()
    tune: settings.TuneSettings = settings.TuneSettings()
    evaluate: settings.EvaluateSettings = settings.EvaluateSettings()
    blessing: settings.BlessingSettings = settings.BlessingSettings()
    serving_check: settings.ServingCheckSettings = settings.ServingCheckSettings()

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise ConfigError(f"application name must look like 'system/application' in lower case, got {self.name!r}.")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ConfigError(f"{self.name}: classes must be two or more different names, got {self.classes!r}.")

    @property
    def system(self) -> str:
        """The first half of the name: wildlife, ocean or satellite."""
        return self.name.split("/")[0]

    @property
    def model_name(self) -> str:
        """The name a server knows the model by, such as `satellite-landcover`."""
        return self.name.replace("/", "-").replace("_", "-")

    @property
    def schema_path(self) -> str:
        """The curated schema, relative to the folder that holds `schemas/`."""
        return f"schemas/{self.name}.pbtxt"
