#!/bin/sh
# Makes the lock files (`make lock`), or checks them (--check).
cd "$(dirname "$0")/.." || exit 1
python=$(sh bootstrap/find-python.sh) || exit 1
exec "$python" -E -s -m bootstrap lock "$@"
