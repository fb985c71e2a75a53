"""Keeps what TensorFlow tells of itself as it starts from the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

import click

from pipeline.cli.options import DEBUG

# Its C++ part writes these whatever TF_CPP_MIN_LOG_LEVEL is, as its log is not set up yet.
# Error 303 of cuInit is no error either: the machine has no driver for an NVIDIA GPU.
_CHATTER = re.compile(
    r"[IW]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: I |WARNING: All log messages before absl|To enable the "
    r"|E\d{4} .*failed call to cuInit.*\(303\)"
)


@contextlib.contextmanager
def without_startup_lines() -> Iterator[None]:
    """Holds back what is written to stderr inside, by C++ too, and then hands on what is no chatter.

    With `--debug`, and where an error leaves the block, everything is handed on.
    """
    if click.get_current_context().meta.get(DEBUG):
        yield
        return
    with tempfile.TemporaryFile("w+b") as held:
        sys.stderr.flush()
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        is_well = False
        try:
            yield
            is_well = True
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held.read().decode("utf-8", "replace").splitlines():
                if not (is_well and _CHATTER.match(line)):
                    click.echo(line, err=True)
