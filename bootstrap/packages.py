"""Environments from one lock file each: the image's own, and the one that lists and judges what we ship."""

from __future__ import annotations

import shutil
import sys
import venv
from pathlib import Path

from bootstrap.console import SetupError, timed
from bootstrap.machine import NEEDED_LIBC, read_machine
from bootstrap.tools import Tools, network


def sync(tools: Tools, python: Path, lock: Path) -> None:
    """Makes the packages of an environment those of a lock file, with hashes checked and bytecode compiled.

    Args:
        tools: has uv.
        python: the environment's interpreter.
        lock: the lock file; it also pins what builds the packages that come as source.

    Raises:
        NotReached: the package index did not answer; nothing was changed, as uv fetches all before.
        CommandFailed: it failed otherwise.
    """
    command: list[str | Path] = [tools.program("uv"), *"pip sync --quiet --require-hashes --compile-bytecode".split()]
    if sys.platform == "linux":
        command += ["--python-platform", "x86_64-manylinux_2_39"]
    command += ["--build-constraints", lock, "--python", python, lock]
    network(tools.programs, command, tools.uv_environment())


def add_project(tools: Tools, python: Path, root: Path) -> None:
    """Puts the project itself into an environment, in the editable way: its command, and a path to its folder."""
    shutil.rmtree(root / "build", ignore_errors=True)
    command: list[str | Path] = [tools.program("uv"), *"pip install --quiet --no-deps --no-build-isolation".split()]
    command += ["--offline", "--reinstall"]  # an interrupted install may look complete
    command += ["--python", python, "--editable", root]
    tools.programs.run(command, env=tools.uv_environment())


def fill(tools: Tools, folder: Path, name: str) -> Path:
    """Builds an environment on the base interpreter and fills it from a lock file.

    Args:
        tools: has uv and the base interpreter.
        folder: of the environment; replaced where it is there.
        name: of the lock file, such as "serving".

    Returns:
        The environment's interpreter.

    Raises:
        SetupError: there is no such lock file.
    """
    lock = tools.root / "requirements" / f"{name}.lock"
    if not lock.is_file():
        known = ", ".join(sorted(path.stem for path in lock.parent.glob("*.lock")))
        raise SetupError(f"no lock file {name!r} in {lock.parent}; there are: {known}.")
    tools.ensure()
    with timed(f"{folder.name} ({lock.name})"):
        shutil.rmtree(folder, ignore_errors=True)
        venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
        python = folder / "bin" / "python"
        sync(tools, python, lock)
    return python


def install(tools: Tools, folder: Path, name: str) -> None:
    """Builds the environment of an image: a lock file's packages, and the project by its folder.

    Raises:
        SetupError: the processor or the C library is none of those that the packages are built for, or there is no such
            lock file.
    """
    machine = read_machine()
    if machine.system != "Linux" or machine.processor != "x86_64":
        raise SetupError(
            f"an image is for Linux on x86_64, as TFX's packages are; this is {machine.system} on {machine.processor}. "
            "Build it with 'docker build --platform linux/amd64 …'."
        )
    if machine.libc is None or machine.libc < NEEDED_LIBC:
        raise SetupError(
            f"an image needs the GNU C library {NEEDED_LIBC[0]}.{NEEDED_LIBC[1]} or newer, got {machine.libc}; "
            "build it on Debian 13, as kubeflow/Dockerfile does. On this machine itself 'make setup' will do."
        )
    add_project(tools, fill(tools, folder, name), tools.root)
