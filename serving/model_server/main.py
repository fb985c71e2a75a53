"""The console script `earthloop-model-server`; flags are read, and explained, before TensorFlow is imported."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import metadata

from applications.errors import EarthloopError
from serving.model_server import flags

PROGRAM = "earthloop-model-server"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server until a signal ends it.

    Args:
        arguments: flags; those of the process if None.

    Returns:
        Exit code: 0 after a signal, 1 if the server cannot start, 2 for wrong flags.
    """
    try:
        options = flags.parse(sys.argv[1:] if arguments is None else arguments)
        if options.help or options.version:
            sys.stdout.write(flags.usage(PROGRAM) if options.help else versions())
            return 0
        # Before TensorFlow, which gives its logger a handler of its own where there is none.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        from serving.model_server import server

        server.run(options)
    except EarthloopError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return error.exit_code
    return 0


def versions() -> str:
    """Returns the versions of the project and of TensorFlow, for `--version`."""
    found = [f"{PROGRAM} {_version('earthloop')}", f"TensorFlow {_version('tensorflow', 'tensorflow-cpu')}"]
    return "\n".join(found) + "\n"


def _version(*names: str) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "(not installed as a package)"


if __name__ == "__main__":
    sys.exit(main())
