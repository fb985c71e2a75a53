"""The SHA-256 manifest of a folder: what is in it, and whether it still is."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from applications.errors import EarthloopError

CHUNK_BYTES = 1 << 20


class ManifestError(EarthloopError, ValueError):
    """A folder does not hold what its manifest says; the text names each file."""


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file as 64 hexadecimal digits, reading 1 MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def digests(folder: Path, *, leave_out: Collection[str] = ()) -> dict[str, str]:
    """Returns the SHA-256 of every file below a folder.

    Args:
        folder: an existing folder. Empty folders below it do not count.
        leave_out: relative paths, with "/", that are not listed.

    Returns:
        Relative path, with "/" on every system, to 64 hexadecimal digits; sorted by path.

    Raises:
        ManifestError: a link is found; what it points to could change without this folder changing.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ManifestError(
                f"a model folder must hold plain files only, but {path} is a link. Copy what it points to."
            )
        if path.is_file() and name not in leave_out:
            found[name] = sha256_of(path)
    return dict(sorted(found.items()))


def differences(folder: Path, manifest: Mapping[str, str], *, leave_out: Collection[str] = ()) -> list[str]:
    """Returns one phrase for each file that is missing, changed or extra; none if the folder is as it should be."""
    found = digests(folder, leave_out=leave_out)
    missing = [f"{name} is missing" for name in sorted(manifest.keys() - found.keys())]
    changed = [
        f"{name} has changed (SHA-256 {found[name][:12]}… instead of {manifest[name][:12]}…)"
        for name in sorted(manifest.keys() & found.keys())
        if found[name] != manifest[name]
    ]
    extra = [f"{name} is not in the manifest" for name in sorted(found.keys() - manifest.keys())]
    return missing + changed + extra


def verify(folder: Path, manifest: Mapping[str, str], *, leave_out: Collection[str] = ()) -> None:
    """Compares a folder with its manifest.

    Args:
        folder: the folder that was listed.
        manifest: relative path to SHA-256, as from `digests`.
        leave_out: relative paths that the manifest does not list on purpose.

    Raises:
        ManifestError: naming every missing, changed and extra file.
    """
    wrong = differences(folder, manifest, leave_out=leave_out)
    if wrong:
        raise ManifestError(
            f"a model folder must match its manifest, but in {folder} {'; '.join(wrong)}. "
            "Do not serve it: push the model again, or copy the folder again from where it came."
        )
