"""`python -m bootstrap` sets up; with a word it does something else.

- `lock [--upgrade | --check]` makes or checks the lock files.
- `install FOLDER NAME` fills an environment from requirements/NAME.lock: a step of the image.
- `sbom [FOLDER]` lists what we ship; `audit [FOLDER]` looks it up among known vulnerabilities; `lint-image` reads the
  Dockerfile and the definitions of CI.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bootstrap.console import SetupError, say
from bootstrap.stamp import ROOT
from bootstrap.steps import set_up


def main(words: list[str]) -> int:
    """Runs one command; its errors become one paragraph and exit status 1."""
    base = Path(os.path.realpath(sys.executable))
    try:
        if words[:1] == ["lock"]:
            from bootstrap.locks import lock

            return lock(ROOT, base, upgrade="--upgrade" in words, check="--check" in words)
        if words[:1] == ["install"]:
            _install(base, words[1:])
        elif words[:1] in (["sbom"], ["audit"], ["lint-image"]):
            return _supply_chain(base, words)
        else:
            set_up(ROOT, base)
    except SetupError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"the operating system refused: {error}. Mend that and run the same command again.")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return 130
    return 0


def _install(base: Path, words: list[str]) -> None:
    from bootstrap.console import Programs
    from bootstrap.packages import install
    from bootstrap.tools import Tools

    if len(words) != 2:  # noqa: PLR2004 (a folder and a name)
        raise SetupError(f"install takes a folder and the name of a lock file, got {words}.")
    install(Tools(ROOT, base, Programs()), Path(words[0]).absolute(), words[1])


def _supply_chain(base: Path, words: list[str]) -> int:
    from bootstrap import supply_chain

    out = Path(words[1] if len(words) > 1 else supply_chain.FOLDER).absolute()
    chain = supply_chain.SupplyChain(ROOT, base, out)
    return {"sbom": chain.sbom, "audit": chain.audit, "lint-image": chain.lint}[words[0]]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
