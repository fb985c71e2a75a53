#!/bin/sh
# Sets Earthloop up in .venv, or returns at once where nothing changed. `make run` and `make test` call it first.
# PYTHON=/path/to/python3.11 chooses the interpreter.
cd "$(dirname "$0")/.." || exit 1

# The quick way: the environment itself says whether it is complete. A broken or absent one falls through.
if [ -x .venv/bin/python ] && .venv/bin/python -E -s -S -m bootstrap.stamp 2>/dev/null; then
    exit 0
fi
python=$(sh bootstrap/find-python.sh) || exit 1
exec "$python" -E -s -m bootstrap "$@"
