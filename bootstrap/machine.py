"""What machine this is, and whether Earthloop's packages run on it: as is, with a private C runtime, or not."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from bootstrap.console import SetupError

NEEDED_LIBC = (2, 39)  # two of TFX's wheels are built for manylinux_2_39
ENVIRONMENT_GB = 6.0  # 4 for the packages with their bytecode, the rest for downloads on their way
CACHE_GB = 4.0  # uv's cache, where it is on another file system and cannot share files with the environment
DEBIAN_WITH_RUNTIME = {"bullseye": "trixie", "bookworm": "trixie"}  # Debian release: the one that lends its C runtime
_CONTAINER = "Use the container image (see docs/image.md)"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts that decide how set-up goes."""

    system: str  # "Linux", "Darwin", …
    processor: str  # "x86_64", "arm64", …
    libc: tuple[int, int] | None  # glibc's version; None where the C library is another one
    os_id: str  # /etc/os-release: "debian", "ubuntu", …
    os_name: str  # for people: "Debian GNU/Linux 12 (bookworm)"
    codename: str  # "bookworm"; "" where there is none


def read_machine(os_release: Path = Path("/etc/os-release")) -> Machine:
    """Looks at this machine; must run in an interpreter that uses the system's own C library."""
    release = parse_os_release(os_release.read_text(encoding="utf-8")) if os_release.is_file() else {}
    return Machine(
        system=platform.system(),
        processor=platform.machine(),
        libc=running_libc(),
        os_id=release.get("ID", ""),
        os_name=release.get("PRETTY_NAME", platform.platform()),
        codename=release.get("VERSION_CODENAME", ""),
    )


def parse_os_release(text: str) -> dict[str, str]:
    """Reads the KEY=value lines of an os-release file; quotes around values are dropped."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def running_libc() -> tuple[int, int] | None:
    """Returns glibc's version as this process sees it, or None where the C library is not glibc."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        major, minor = version.split(".")[:2]
    except (AttributeError, OSError, ValueError):
        return None
    return (int(major), int(minor)) if name == "glibc" else None


def runtime_release(machine: Machine) -> str | None:
    """Decides whether a private C runtime is needed.

    Returns:
        The Debian release to take it from, or None where the machine's own will do.

    Raises:
        SetupError: Earthloop's packages do not run on this machine.
    """
    what = f"this is {machine.os_name} on {machine.processor}"
    if machine.system == "Darwin" and machine.processor == "arm64":
        return None
    if machine.system != "Linux" or machine.processor not in {"x86_64", "AMD64"}:
        raise SetupError(f"TFX has packages for Linux on x86_64 and macOS on arm64 only; {what}. {_CONTAINER}.")
    if machine.libc is None:
        raise SetupError(f"TFX's packages need the GNU C library 2.39 or newer; {what}, with another. {_CONTAINER}.")
    if machine.libc >= NEEDED_LIBC:
        return None
    lender = DEBIAN_WITH_RUNTIME.get(machine.codename) if machine.os_id == "debian" else None
    if lender is None:
        has = ".".join(str(part) for part in machine.libc)
        raise SetupError(
            f"TFX's packages need the GNU C library 2.39 or newer; {what}, with {has}, and set-up can lend a newer one "
            f"to Debian 11 and 12 only. {_CONTAINER}, or a newer system: Ubuntu 24.04, Debian 13 or later."
        )
    return lender


def check_disk(folder: Path, needed_gb: float, free_gb: float | None = None) -> None:
    """Refuses to begin what cannot end.

    Args:
        folder: where the environment is to be; on the file system that is measured.
        needed_gb: GB (1e9 bytes) that must be free.
        free_gb: GB that are free; measured where None.

    Raises:
        SetupError: there is less.
    """
    free = shutil.disk_usage(folder).free / 1e9 if free_gb is None else free_gb
    if free < needed_gb:
        raise SetupError(
            f"set-up needs about {needed_gb:.0f} GB of free disk; {folder} has {free:.1f} GB. "
            "Free some space, or clone the repository to a larger disk, and run the same command again."
        )
