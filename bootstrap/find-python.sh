#!/bin/sh
# Prints the path of a usable CPython 3.11: PYTHON where it is set, else from PATH, pyenv or uv, in that order.
# Where there is none, says which Pythons there are and what to do, and exits with 1.

project=$(cd "$(dirname "$0")/.." && pwd -P)
pyenv_versions=${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}/versions
uv_versions=${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-/nonexistent}/.local/share}/uv/python}

# Runs under any Python, so it is written for all of them. Answers "version|interpreter below any venv|missing modules".
probe='
import os, sys
missing = []
if sys.version_info[:2] == (3, 11):
    for module in ("bz2", "ctypes", "lzma", "sqlite3", "ssl", "venv", "zlib"):
        try:
            __import__(module)
        except ImportError:
            missing.append(module)
    if sys.implementation.name != "cpython":
        missing.append("CPython")
base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
print("%d.%d.%d|%s|%s" % (sys.version_info[:3] + (base, ",".join(missing))))
'

# Every place where an interpreter of the given names may be, one path a line.
places() {
    saved_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        for name in "$@"; do
            IFS=$saved_ifs
            for path in "${folder:-.}"/$name; do
                [ -x "$path" ] && [ ! -d "$path" ] && echo "$path"
            done
        done
    done
    IFS=$saved_ifs
    for path in "$pyenv_versions"/*/bin/python "$uv_versions"/*/bin/python3; do
        [ -x "$path" ] && echo "$path"
    done
}

# Prints the first interpreter on standard input that will do; the rest goes to the list of what was found.
choose() {
    while IFS= read -r path; do
        case $path in "$project"/.venv/*) continue ;; esac
        answer=$("$path" -E -s -c "$probe" 2>/dev/null </dev/null) || continue
        case $answer in *"|"*"|"*) ;; *) continue ;; esac
        version=${answer%%|*}
        rest=${answer#*|}
        missing=${rest##*|}
        base=${rest%|*}
        case $version in
            3.11.*) [ -z "$missing" ] && echo "use $base" && return ;;
        esac
        echo "found $version at $path${missing:+ (lacks $missing)}"
    done
}

if [ -n "${PYTHON:-}" ]; then
    asked=$(command -v "$PYTHON") || asked=$PYTHON
    answers=$(echo "$asked" | choose)
else
    answers=$(places python3.11 python3 python | choose)
fi
chosen=$(echo "$answers" | sed -n 's/^use //p')
if [ -n "$chosen" ]; then
    echo "$chosen"
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    found=$(echo "$answers" | sed -n 's/^found //p')
    echo "set-up: PYTHON=$PYTHON is not a usable Python 3.11 (${found:-it does not run}). Give the path of a complete CPython 3.11, or leave PYTHON unset to have one looked for." >&2
    exit 1
fi
found=$(places 'python3.[0-9]' 'python3.[0-9][0-9]' python3 python | choose | sed -n 's/^found //p' | sort -u | paste -s -d ';' - | sed 's/;/; /g')
echo "set-up: Python 3.11 is needed and none was found on PATH, in pyenv ($pyenv_versions) or in uv ($uv_versions). Found: ${found:-no Python at all}. Install it in one of these ways and run the same command again: 'apt-get install python3.11' (Debian 12), 'pyenv install 3.11', 'uv python install 3.11', 'brew install python@3.11' (macOS); or name one: 'make setup PYTHON=/path/to/python3.11'." >&2
exit 1
