"""The private C runtime on older Debian: a newer release's C and C++ libraries, for our interpreter alone."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from bootstrap import apt
from bootstrap.console import Programs, SetupError, timed

PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
LOADER = "ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def ensure_runtime(root: Path, release: str, programs: Programs) -> Path:
    """Fetches the libraries of a Debian release once per checkout.

    Returns:
        A folder with the loader and the libraries, side by side.
    """
    kept = root / ".setup" / f"runtime-{release}"
    if (kept / LOADER).exists():
        return kept
    with timed(f"private C runtime (libc6, libstdc++6, libgcc-s1 of Debian {release})"):
        folder = root / ".setup" / "apt"
        unpacked = apt.Archive(folder, release, programs).unpack(*PACKAGES) / LIBRARIES
        if not (unpacked / LOADER).exists():
            raise SetupError(
                f"Debian {release}'s libc6 has no {LIBRARIES}/{LOADER}; nothing else will do. Use a newer system."
            )
        partial = kept.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(unpacked, partial, symlinks=True)
        partial.rename(kept)
        shutil.rmtree(folder)
    return kept


def patch_interpreter(interpreter: Path, runtime: Path, patchelf: Path, programs: Programs) -> None:
    """Makes a copied interpreter start with the private loader and libraries.

    Only this one file is bound to them: programs that it calls run with the system's own. An interpreter with a shared
    `libpython` keeps finding it where the original did.

    Args:
        interpreter: a copy of a Python executable, changed in place.
        runtime: the folder of the libraries, by the path where they stay.
        patchelf: the program that edits executables.
        programs: runs it.
    """
    inherited = programs.run([patchelf, "--print-rpath", interpreter]).strip()
    paths = [str(runtime), *(part for part in inherited.split(":") if part.startswith("/"))]
    paths = list(dict.fromkeys(paths + _libpython_folder(interpreter, patchelf, programs)))
    command: list[str | Path] = [
        patchelf,
        "--set-interpreter",
        runtime / LOADER,
        "--force-rpath",
        "--set-rpath",
        ":".join(paths),
    ]
    programs.run([*command, "--add-needed", "libstdc++.so.6", interpreter])


def _libpython_folder(interpreter: Path, patchelf: Path, programs: Programs) -> list[str]:
    needed = programs.run([patchelf, "--print-needed", interpreter])
    folder = str(sysconfig.get_config_var("LIBDIR") or "")
    return [folder] if "libpython" in needed and folder else []
