"""Clients that others have written, where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.serving.robustness.servers import REPOSITORY

_PLACES = (REPOSITORY / ".setup" / "protocol" / "bin",)


def found(name: str) -> str:
    """Returns the path of a program; skips the test where there is none."""
    path = shutil.which(name, path=os.pathsep.join([*map(str, _PLACES), os.environ.get("PATH", "")]))
    if path is None:
        pytest.skip(f"{name} is not installed; sh .ci/protocol-tools.sh does that")
    return path


def said(*command: str, timeout_s: float = 120.0, is_well: bool = True) -> str:
    """Runs a program; returns what it prints, errors and all, and checks its status unless told not to."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, errors="replace")
    words = done.stdout + done.stderr
    assert not is_well or done.returncode == 0, words
    return words
