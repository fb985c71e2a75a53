"""How a long step tells whoever watches how far it is.

A step calls `report`; the record travels through the standard `logging` module under the name
`earthloop.progress`. The local runner forwards it to the live view; elsewhere it is one log line.
"""

from __future__ import annotations

import json
import logging

LOGGER_NAME = "earthloop.progress"

_logger = logging.getLogger(LOGGER_NAME)


def report(kind: str, **fields: object) -> None:
    """Reports one step of progress.

    Args:
        kind: what advanced: "epoch" (fields `done`, `total`, `left_s`, and any metric by name),
            "items" (fields `done`, `total`), "trial" (fields `done`, `total`) or "note" (field `text`).
        **fields: JSON-serialisable values.
    """
    _logger.info("%s", json.dumps({"kind": kind, **fields}), extra={"progress": {"kind": kind, **fields}})
