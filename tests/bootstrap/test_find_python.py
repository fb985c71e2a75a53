from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

TEXT_TOOLS = ("sh", "sed", "sort", "paste", "dirname")


@pytest.fixture
def bare_path(tmp_path):
    """A folder with the text tools that the search uses, and no Python."""
    for name in TEXT_TOOLS:
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


def find(project: pathlib.Path, path: pathlib.Path, **environment: str) -> subprocess.CompletedProcess[str]:
    nowhere = {"HOME": str(path), "PYENV_ROOT": str(path / "pyenv"), "UV_PYTHON_INSTALL_DIR": str(path / "uv")}
    return subprocess.run(
        ["sh", "bootstrap/find-python.sh"],
        cwd=project,
        env={"PATH": str(path)} | nowhere | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(path: pathlib.Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)


def test_without_python_3_11_the_error_lists_what_was_found(project, bare_path):
    fake_python(bare_path / "python3.12", "3.12.1|/opt/python3.12|")
    fake_python(bare_path / "pyenv" / "versions" / "3.9.18" / "bin" / "python", "3.9.18|/opt/python3.9|")
    answer = find(project, bare_path)
    assert answer.returncode == 1
    assert f"3.12.1 at {bare_path}/python3.12" in answer.stderr
    assert f"3.9.18 at {bare_path}/pyenv/versions/3.9.18/bin/python" in answer.stderr
    assert "apt-get install python3.11" in answer.stderr
    assert "PYTHON=/path/to/python3.11" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_without_any_python_the_error_says_so(project, bare_path):
    assert "Found: no Python at all." in find(project, bare_path).stderr


def test_a_python_3_11_on_the_path_comes_before_pyenv_and_uv(project, bare_path):
    fake_python(bare_path / "uv" / "cpython-3.11.9" / "bin" / "python3", "3.11.9|/opt/uv|")
    fake_python(bare_path / "pyenv" / "versions" / "3.11.7" / "bin" / "python", "3.11.7|/opt/pyenv|")
    assert find(project, bare_path).stdout == "/opt/pyenv\n"
    fake_python(bare_path / "python3", "3.11.2|/usr/bin/python3.11|")
    assert find(project, bare_path).stdout == "/usr/bin/python3.11\n"


def test_uv_s_own_python_is_found(project, bare_path):
    fake_python(bare_path / "uv" / "cpython-3.11.9" / "bin" / "python3", "3.11.9|/opt/uv|")
    assert find(project, bare_path).stdout == "/opt/uv\n"


def test_an_incomplete_python_3_11_is_passed_over_and_named(project, bare_path):
    fake_python(bare_path / "python3.11", "3.11.7|/opt/bare|lzma,ssl")
    assert f"3.11.7 at {bare_path}/python3.11 (lacks lzma,ssl)" in find(project, bare_path).stderr


def test_a_program_that_is_no_python_is_passed_over(project, bare_path):
    fake_python(bare_path / "python3.11", "pyenv: python3.11: command not found")
    assert "no Python at all" in find(project, bare_path).stderr


def test_the_interpreter_asked_for_must_fit(project, bare_path):
    fake_python(bare_path / "other", "3.13.0|/opt/other|")
    answer = find(project, bare_path, PYTHON=str(bare_path / "other"))
    assert "PYTHON=" in answer.stderr
    assert "is not a usable Python 3.11 (3.13.0 at" in answer.stderr


def test_below_a_virtual_environment_the_base_interpreter_is_found(project, bare_path):
    base = os.path.realpath(sys._base_executable)
    folder = bare_path / "environment"
    code = f"import venv; venv.create({str(folder)!r}, symlinks=True)"
    subprocess.run([sys.executable, "-c", code], check=True)
    found = find(project, bare_path, PYTHON=str(folder / "bin" / "python")).stdout.strip()
    assert os.path.realpath(found) == os.path.realpath(base)
