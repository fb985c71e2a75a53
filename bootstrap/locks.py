"""The lock files: exact versions with hashes for all platforms, made by uv from `requirements/*.in`, naming no host.

Each begins with a hash of what it was made from, so that a forgotten `make lock` is noticed without a network. Versions
that a lock file already names are kept; `--upgrade` takes the newest.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bootstrap.console import Programs, say, timed
from bootstrap.steps import only_one
from bootstrap.tools import NotReached, Tools, network

NAMES = ("bootstrap", "pipeline", "serving", "develop", "supply-chain")  # in order: some follow pipeline.lock
OVERRIDES = "overrides.in"
OPTIONS = (
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header"),
    *("--override", OVERRIDES),
)
_INPUTS = "# inputs: sha256:"


def lock(root: Path, base: Path, *, upgrade: bool, check: bool) -> int:
    """Makes all lock files, or only says whether they are what they would be.

    Args:
        root: the checkout.
        base: the interpreter that runs this.
        upgrade: take the newest versions rather than those locked now.
        check: change nothing.

    Returns:
        0, or 1 where `check` found a difference.
    """
    folder = root / "requirements"
    if check and (stale := [name for name in NAMES if not is_current(folder, name)]):
        say(f"{', '.join(f'requirements/{name}.lock' for name in stale)}: the .in files have changed; run 'make lock'")
        return 1
    with only_one(root) as descriptor, tempfile.TemporaryDirectory() as scratch:
        tools = Tools(root, base, Programs(descriptor))
        try:
            tools.ensure()
            made = _compile_all(tools, folder, Path(scratch), upgrade=upgrade)
        except NotReached as error:
            if not check:
                raise
            say(f"lock files agree with the .in files; they were not resolved again: {error}")
            return 0
        differing = [path.name for path in made if path.read_bytes() != _read(folder / path.name)]
        if not check:
            for path in made:
                shutil.copyfile(path, folder / path.name)
    if check and differing:
        say(f"{', '.join(differing)}: resolving again gives something else; run 'make lock'")
        return 1
    say(f"lock files: {'as they were' if not differing else 'changed: ' + ', '.join(differing)}")
    return 0


def fingerprint(folder: Path, name: str) -> str:
    """Returns a hash of all that a lock file is made from: its .in file, those it refers to, and uv's options."""
    parts, todo = [" ".join(OPTIONS)], [OVERRIDES, f"{name}.in"]
    while todo:
        text = (folder / todo.pop()).read_text(encoding="utf-8")
        parts.append(text)
        todo += re.findall(r"^-[rc] (\S+)$", text, flags=re.MULTILINE)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_current(folder: Path, name: str) -> bool:
    """Whether a lock file was made from the .in files as they are now."""
    return f"{_INPUTS}{fingerprint(folder, name)}\n".encode() in _read(folder / f"{name}.lock")


def _compile_all(tools: Tools, folder: Path, scratch: Path, *, upgrade: bool) -> Sequence[Path]:
    made = []
    for path in folder.iterdir():
        shutil.copyfile(path, scratch / path.name)
    environment = tools.uv_environment()
    for name in NAMES:
        target = scratch / f"{name}.lock"
        with timed(f"requirements/{target.name}"):
            command: list[str | Path] = [tools.program("uv"), "pip", "compile", "--quiet", *OPTIONS, f"{name}.in"]
            command += ["--python", tools.base, "-o", target.name]
            network(tools.programs, [*command, *(["--upgrade"] if upgrade else [])], environment, cwd=scratch)
        header = f"# Made by 'make lock' from {name}.in; do not edit.\n{_INPUTS}{fingerprint(scratch, name)}\n"
        lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
        target.write_text(header + "".join(line for line in lines if not line.startswith(_header())), encoding="utf-8")
        made.append(target)
    return made


def _header() -> tuple[str, ...]:
    return ("# Made by 'make lock'", _INPUTS)


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
