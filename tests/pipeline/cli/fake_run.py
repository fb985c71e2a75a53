"""Stands in for `earthloop run` where it is started as a process: the real command over the fake runner.

FAKE_NEW names a file that appears in the data while the first run goes on.
"""

from __future__ import annotations

import os
import pathlib
import sys

from pipeline.cli import main as entry
from pipeline.cli import run

run.RUNNER = (sys.executable, str(pathlib.Path(__file__).with_name("fake_runner.py")))

if __name__ == "__main__":
    code = entry.main(["run", *sys.argv[1:]])
    if (new := os.environ.get("FAKE_NEW")) and not pathlib.Path(new).exists():
        pathlib.Path(new).touch()
    sys.exit(code)
