from __future__ import annotations

import os
import pathlib
import sys

import pytest

from bootstrap import packages
from bootstrap.console import Programs, SetupError
from bootstrap.machine import Machine
from bootstrap.tools import Tools

BASE = pathlib.Path(os.path.realpath(sys.executable))


@pytest.fixture
def tools(project):
    return Tools(project, BASE, Programs())


def test_an_unknown_lock_file_is_told_with_those_there_are(tools, tmp_path):
    with pytest.raises(
        SetupError, match=r"no lock file 'serve' in .*; there are: bootstrap, develop, pipeline, serving"
    ):
        packages.fill(tools, tmp_path / "venv", "serve")
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"libc": (2, 36)}, r"2\.39 or newer, got \(2, 36\); build it on Debian 13"),
        ({"processor": "aarch64"}, r"this is Linux on aarch64\. Build it with 'docker build --platform linux/amd64"),
    ],
)
def test_an_image_is_not_built_where_the_packages_do_not_run(tools, tmp_path, monkeypatch, changes, told):
    debian = {
        "system": "Linux",
        "processor": "x86_64",
        "libc": (2, 41),
        "os_id": "debian",
        "os_name": "",
        "codename": "",
    }
    monkeypatch.setattr(packages, "read_machine", lambda: Machine(**{**debian, **changes}))
    with pytest.raises(SetupError, match=told):
        packages.install(tools, tmp_path / "venv", "serving")
