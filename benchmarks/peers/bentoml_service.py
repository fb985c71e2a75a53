"""BentoML with adaptive batches: `bentoml serve bentoml_service:Landcover --port PORT` in this folder."""

from __future__ import annotations

from typing import Any

import bentoml
from model import MAX_BATCH, Model, decoded


@bentoml.service(
    workers=1,
    traffic={"timeout": 60, "max_concurrency": 256},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Landcover:
    """A list of pictures a request; BentoML puts requests together."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1_000)
    def predict(self, images: list[str]) -> list[dict[str, Any]]:
        """Answers base64 pictures."""
        return self.model.predict([decoded(image) for image in images])
