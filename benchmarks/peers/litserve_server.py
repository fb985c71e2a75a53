"""LitServe with batches: `python benchmarks/peers/litserve_server.py PORT`.

Without `from __future__ import annotations`: LitServe reads the types of `decode_request` as they stand.
"""

import sys
from typing import Any

import litserve
from model import MAX_BATCH, WAIT_S, Model, decoded


class Landcover(litserve.LitAPI):
    """One picture a request; LitServe makes the batches."""

    def setup(self, device: str) -> None:
        """Loads the model in the worker."""
        self.model = Model()

    def decode_request(self, request: dict[str, Any]) -> bytes:
        """Returns the picture."""
        return decoded(request["image"])

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Leaves a batch a list."""
        return inputs

    def predict(self, batch: list[bytes]) -> list[dict[str, Any]]:
        """Answers a batch."""
        return self.model.predict(batch)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leaves the answers a list."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Landcover(max_batch_size=MAX_BATCH, batch_timeout=WAIT_S),
        accelerator="cpu",
        workers_per_device=1,
        timeout=60,
        fast_queue=False,
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False, num_api_servers=1
    )
