"""How set-up knows what is done: one marker a step, written last, holding the key of all that the step depended on.

`python -m bootstrap.stamp` exits with 0 where everything is in place and 1 where set-up has work. It runs before each
`make run` and `make test`, so it imports little.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("environment", "packages", "project")
LOCK = Path("requirements") / "develop.lock"


class Stamp:
    """The markers of one checkout, in `.venv/.setup/`."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.folder = self.venv / ".setup"

    def read(self, step: str) -> dict[str, str]:
        """Returns what the step left, or {} where it never ended."""
        try:
            content = json.loads((self.folder / step).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, step: str, base: Path) -> None:
        """Marks a step as done, atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"key": self.key(step, base), "base": str(base)}
        partial = self.folder / f"{step}.partial"
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(self.folder / step)

    def begin(self, step: str) -> None:
        """Takes back the marks of a step and of those after it; leaves a note that the step began."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{step}.begun").touch()
        for name in STEPS[STEPS.index(step) :]:
            (self.folder / name).unlink(missing_ok=True)

    def forget(self, step: str) -> None:
        """Takes back that a step began: it changed nothing."""
        (self.folder / f"{step}.begun").unlink(missing_ok=True)

    def was_interrupted(self, step: str) -> bool:
        """Whether the step began and never ended."""
        return (self.folder / f"{step}.begun").exists() and not self.read(step)

    def key(self, step: str, base: Path) -> str:
        """Returns a hash of all that the step's result depends on."""
        if step == "environment":
            parts = [str(self.root), _identity(base), _operating_system(), *self._texts("bootstrap/runtime.py")]
            parts += self._texts("bootstrap/environment.py")
        elif step == "packages":
            parts = self._texts(str(LOCK))
        else:
            inputs = sorted(path.relative_to(self.root) for path in (self.root / "requirements").glob("*.in"))
            parts = self._texts("setup.py", *map(str, inputs))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def first_due(self, base: Path | None = None) -> str | None:
        """Returns the first step that has work, or None where all is in place.

        Args:
            base: the interpreter to build on; the one built on last where None.
        """
        for step in STEPS:
            done = self.read(step)
            known = base or Path(done.get("base", "/nonexistent"))
            if not done or done.get("base") != str(known) or done.get("key") != self.key(step, known):
                return step
        return None if (self.venv / "bin" / "python").exists() else "environment"

    def _texts(self, *names: str) -> list[str]:
        texts = []
        for name in names:
            path = self.root / name
            texts.append(f"{name}\0{path.read_text(encoding='utf-8') if path.is_file() else ''}")
        return texts


def _identity(interpreter: Path) -> str:
    try:
        status = interpreter.stat()
    except OSError:
        return f"{interpreter} is gone"
    return f"{interpreter} {status.st_size} {status.st_mtime_ns}"


def _operating_system() -> str:
    try:
        release = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        release = ""
    names = [line for line in release.splitlines() if line.startswith(("ID=", "VERSION_ID=", "VERSION_CODENAME="))]
    return " ".join([os.uname().sysname, os.uname().machine, *sorted(names)])


def main() -> int:
    """Answers by exit status whether set-up has nothing to do."""
    asked = os.environ.get("PYTHON")
    base = None
    if asked and "/" in asked:
        base = Path(os.path.realpath(asked))
    elif asked:
        return 1
    return 1 if Stamp().first_due(base) else 0


if __name__ == "__main__":
    sys.exit(main())
