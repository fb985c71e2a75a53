"""`python -m bootstrap` sets up; `python -m bootstrap lock [--upgrade | --check]` makes or checks the lock files."""

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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
