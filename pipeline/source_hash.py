"""What code a stage uses, as one digest: the cache sees an edited model although TFX itself does not.

A stage names its entry modules; the digest covers them and every module of this project they import,
directly or not, also inside functions and by dotted names in strings. Found by reading, never by importing.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from applications.errors import UnknownName
from serving import learnt_from

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "applications",
    "schemas",
    "components",
    "transform",
    "trainer",
    "evaluation",
    "decisions",
    "serving",
    "monitoring",
    "pipeline",
)
LOCK = "requirements/pipeline.lock"  # the versions a stage runs on are part of its code
_DOTTED_NAME = re.compile(r"[a-z_]\w*(\.\w+)+")  # in a string: a module, or something in it, that is imported later
_TREE_SUFFIXES = {".py", ".j2", ".pbtxt", ".css", ".md"}  # .md: the report shows the data card


def digest_of(*modules: str, files: Iterable[str] = ()) -> str:
    """Digests the code behind some modules.

    Args:
        *modules: dotted names of modules of this project.
        files: further files that matter (templates, schemas), relative to the project's root.

    Returns:
        16 hexadecimal digits; they change when any file of the closure, any of `files` or the lock file does.

    Raises:
        UnknownName: a module is not one of this project's.
    """
    paths = {LOCK, *files}
    for module in closure(modules):
        paths.add(str(_file_of(module).relative_to(ROOT)))  # type: ignore[union-attr]
    return _digest_files(sorted(paths))


def tree_digest() -> str:
    """Digests all code, templates, schemas and data cards of the project, and its lock file: 16 hexadecimal digits."""
    paths = [LOCK]
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in _TREE_SUFFIXES and "__pycache__" not in path.parts:
                paths.append(str(path.relative_to(ROOT)))
    return _digest_files(paths)


def file_digest(path: str) -> str:
    """Digests a file that a setting names, wherever it lies: 16 hexadecimal digits; "" for no name or no file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path and Path(path).is_file() else ""


def weights_digest(weights: str) -> str:
    """Digests the weights that a training starts from and the list of what they have learnt from; "" for none."""
    return file_digest(weights) + file_digest(learnt_from.beside(weights)) if weights else ""


def files_below(folder: str) -> list[str]:
    """Lists the files below a folder of the project, relative to its root, sorted."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file())


def closure(modules: Iterable[str]) -> list[str]:
    """Lists the project's modules that `modules` import, directly or not, themselves included, sorted."""
    seen: set[str] = set()
    waiting = list(modules)
    for module in waiting:
        if _file_of(module) is None:
            raise UnknownName("module of this project", module, PACKAGES)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        waiting.extend(_imports(module))
    return sorted(seen)


def _digest_files(relative_paths: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for relative in relative_paths:
        path = ROOT / relative
        content = path.read_bytes() if path.exists() else b"absent"
        digest.update(f"{relative}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    """Finds a module's file, or None when it is not this project's."""
    if module.split(".", maxsplit=1)[0] not in PACKAGES:
        return None
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    """Names the project's modules that one module imports; its parent packages run first, so they count too."""
    path = _file_of(module)
    if path is None:
        return ()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = {".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found.update(_named_by(node, package))
    return tuple(sorted(name for name in found if _file_of(name) is not None))


def _named_by(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parent = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parent, base] if base else parent)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED_NAME.fullmatch(node.value):
        yield from (node.value, node.value.rpartition(".")[0])
