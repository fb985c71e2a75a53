"""The empty `.venv`, its interpreter on this machine's C runtime or on a private one."""

from __future__ import annotations

import shutil
import venv
from pathlib import Path

from bootstrap.console import Programs, SetupError, say
from bootstrap.machine import NEEDED_LIBC
from bootstrap.runtime import patch_interpreter

_NAMES = ("python3", "python3.11")


def make_room(folder: Path) -> None:
    """Removes what an earlier set-up left; an environment that someone else made is moved aside instead."""
    if (folder / ".setup").is_dir():
        shutil.rmtree(folder)
    elif folder.is_symlink() or folder.exists():
        aside = next(
            path for number in range(1, 1000) if not (path := folder.with_name(f".venv.other-{number}")).exists()
        )
        folder.rename(aside)
        say(f".venv was not made by this set-up; it is kept as {aside.name}")


def build(folder: Path, base: Path, runtime: Path | None, patchelf: Path, programs: Programs) -> None:
    """Builds an environment without packages.

    Args:
        folder: where; must hold nothing but set-up's own marks.
        base: the interpreter to build on.
        runtime: libraries to bind the interpreter to, copied into the environment; None where the system's will do.
        patchelf: the program that edits executables.
        programs: runs programs.

    Raises:
        SetupError: the interpreter does not start.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False, prompt="earthloop").create(folder)
    for name in ("python", *_NAMES):
        (folder / "bin" / name).unlink(missing_ok=True)
    interpreter = folder / "bin" / "python"
    if runtime is None:
        interpreter.symlink_to(base)
    else:
        own = folder / "runtime"
        shutil.copytree(runtime, own, symlinks=True)
        shutil.copy2(base, interpreter)
        interpreter.chmod(0o755)
        patch_interpreter(interpreter, own, patchelf, programs)
    for name in _NAMES:
        (folder / "bin" / name).symlink_to("python")
    if runtime is not None:
        _check_libc(interpreter, programs)


def _check_libc(interpreter: Path, programs: Programs) -> None:
    question = "import os, ssl, ctypes; print(os.confstr('CS_GNU_LIBC_VERSION'))"
    answer = programs.run([interpreter, "-I", "-c", question]).split()
    if tuple(int(part) for part in answer[-1].split(".")[:2]) < NEEDED_LIBC:
        raise SetupError(f"the private C runtime should be 2.39 or newer; {interpreter} answers {answer}. Report this.")
