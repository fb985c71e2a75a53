#!/bin/sh
# What we ship (`make sbom`), what is known against it (`make audit`), and a lint of how it is built; needs no .venv.
cd "$(dirname "$0")/.." || exit 1
python=$(sh bootstrap/find-python.sh) || exit 1
exec "$python" -E -s -m bootstrap "$@"
