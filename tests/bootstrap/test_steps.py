from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from bootstrap import environment, steps
from bootstrap.console import CommandFailed, Programs, SetupError
from bootstrap.stamp import STEPS, Stamp
from bootstrap.tools import Tools, network

BASE = pathlib.Path(os.path.realpath(sys.executable))


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose set-up looks complete."""
    for name in ("requirements", "bootstrap", ".venv/bin", ".venv/.setup"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "requirements" / "develop.lock").write_text("click==8.1 --hash=sha256:0\n")
    (tmp_path / "requirements" / "pipeline.in").write_text("click\n")
    (tmp_path / "setup.py").write_text("setup()\n")
    (tmp_path / ".venv" / "bin" / "python").symlink_to(BASE)
    for step in STEPS:
        Stamp(tmp_path).begin(step)
        Stamp(tmp_path).write(step, BASE)
    return tmp_path


def test_nothing_is_due_when_nothing_changed(checkout):
    assert Stamp(checkout).first_due(BASE) is None
    assert Stamp(checkout).first_due() is None


def test_a_changed_lock_is_only_synchronised(checkout):
    (checkout / "requirements" / "develop.lock").write_text("click==8.2 --hash=sha256:1\n")
    assert steps.first_due(Stamp(checkout), BASE) == "packages"


def test_a_changed_setup_py_only_reinstalls_the_project(checkout):
    (checkout / "setup.py").write_text("setup(name='x')\n")
    assert steps.first_due(Stamp(checkout), BASE) == "project"


def test_a_moved_checkout_is_built_anew(checkout, tmp_path_factory, capsys):
    moved = tmp_path_factory.mktemp("elsewhere") / "checkout"
    shutil.move(checkout, moved)
    assert steps.first_due(Stamp(moved), BASE) == "environment"
    assert "place of this checkout has changed" in capsys.readouterr().err


def test_another_interpreter_is_built_anew(checkout, tmp_path_factory):
    other = tmp_path_factory.mktemp("python") / "python3.11"
    other.write_text("")
    assert Stamp(checkout).first_due(other) == "environment"


def test_a_vanished_interpreter_is_built_anew(checkout):
    (checkout / ".venv" / "bin" / "python").unlink()
    assert Stamp(checkout).first_due() == "environment"


def test_an_install_that_was_killed_is_built_anew(checkout, capsys):
    Stamp(checkout).begin("packages")
    assert steps.first_due(Stamp(checkout), BASE) == "environment"
    assert "interrupted while it installed packages" in capsys.readouterr().err


def test_a_half_written_marker_counts_as_none(checkout):
    (checkout / ".venv" / ".setup" / "project").write_text('{"key": "12')
    assert Stamp(checkout).first_due(BASE) == "project"


def test_beginning_a_step_takes_back_the_later_ones(checkout):
    Stamp(checkout).begin("packages")
    assert [bool(Stamp(checkout).read(step)) for step in STEPS] == [True, False, False]


class NoNetwork(Programs):
    def run(self, command, **_):
        raise CommandFailed(
            command, 2, "error: Request failed\n  ╰─▶ tcp connect error: Connection refused (os error 111)"
        )


def test_an_index_out_of_reach_leaves_the_packages_as_they_were(checkout, monkeypatch):
    monkeypatch.setattr(Tools, "uv_environment", lambda self: {})
    with pytest.raises(SetupError, match=r"index was not reached \(connection refused\).*HTTPS_PROXY"):
        steps._packages(Stamp(checkout), Tools(checkout, BASE, NoNetwork()))
    assert steps.first_due(Stamp(checkout), BASE) == "packages"


def test_another_failure_of_uv_is_told_in_its_own_words(checkout):
    with pytest.raises(CommandFailed, match=r"ended with status 3: Hash mismatch for 'x'"):
        network(Programs(), ["sh", "-c", "echo \"Hash mismatch for 'x'\" >&2; exit 3"])


def test_an_environment_of_somebody_else_is_kept_aside(tmp_path, capsys):
    (tmp_path / ".venv" / "lib").mkdir(parents=True)
    environment.make_room(tmp_path / ".venv")
    assert (tmp_path / ".venv.other-1" / "lib").is_dir()
    assert "kept as .venv.other-1" in capsys.readouterr().err


def test_a_half_built_environment_is_removed_and_built_again(tmp_path):
    stamp = Stamp(tmp_path)
    stamp.begin("environment")
    (stamp.venv / "bin").mkdir()
    (stamp.venv / "bin" / "python").write_text("half")
    environment.make_room(stamp.venv)
    environment.build(stamp.venv, BASE, None, pathlib.Path("patchelf"), Programs())
    answer = subprocess.run([stamp.venv / "bin" / "python3.11", "-c", "print(1)"], capture_output=True, check=True)
    assert answer.stdout == b"1\n"


def test_a_second_set_up_waits_for_the_first_and_for_its_orphans(tmp_path, capsys):
    with steps.only_one(tmp_path) as lock:
        orphan = subprocess.Popen(["sleep", "0.5"], pass_fds=(lock,))
    start = time.monotonic()
    with steps.only_one(tmp_path):
        waited_s = time.monotonic() - start
    assert orphan.wait() == 0
    assert waited_s > 0.3
    assert "another set-up of this checkout is running" in capsys.readouterr().err


def test_what_set_up_calls_holds_its_lock(tmp_path):
    with steps.only_one(tmp_path) as lock:
        held = Programs(lock).run([sys.executable, "-c", f"import os; print(os.fstat({lock}).st_ino)"])
    assert int(held) == (tmp_path / ".setup" / "lock").stat().st_ino
    with open(tmp_path / ".setup" / "lock") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_quick_check_is_quick(project):
    start = time.monotonic()
    status = subprocess.run([sys.executable, "-E", "-s", "-S", "-m", "bootstrap.stamp"], cwd=project, check=False)
    assert status.returncode in {0, 1}
    assert time.monotonic() - start < 2


def test_set_up_needs_nothing_but_the_standard_library(project):
    names = "apt, console, environment, locks, machine, runtime, stamp, steps, tools"
    code = f"from bootstrap import {names}"
    subprocess.run([BASE, "-I", "-S", "-c", f"import sys; sys.path[:0] = [{str(project)!r}]\n{code}"], check=True)
