#!/bin/sh
# The steps of kubeflow/Dockerfile, each in a layer of its own. A test runs the same ones in a Debian 13 without Docker.
#   packages NAME   an environment from requirements/NAME.lock, at $EARTHLOOP/venv; run in $EARTHLOOP/code
#   code            bytecode of the project, and what lies in $EARTHLOOP/code readable by any user
#   runtime         what the finished image has beside the two: no package installer, a user, folders to write to
# PYTHON names the interpreter.
set -eu
umask 022
prefix=${EARTHLOOP:-/opt/earthloop}
python=${PYTHON:-python3.11}

# Bytecode that is never held against its source: layers lose the fractions of times, and nothing in an image changes.
export PYC_INVALIDATION_MODE=UNCHECKED_HASH
compile() {
    "$python" -m compileall -q -f -j 0 --invalidation-mode unchecked-hash "$@"
}

# Any user may run the image (Kubernetes picks one in some clusters), and only root may change it.
readable() {
    chmod -R a+rX,go-w "$1"
}

packages() {
    "$python" -E -s -m bootstrap install "$prefix/venv" "$1"
    readable "$prefix/venv"
}

code() {
    compile "$prefix/code"
    readable "$prefix/code"
}

runtime() {
    "$python" -m pip --version >/dev/null 2>&1 && "$python" -m pip uninstall --quiet --yes pip setuptools wheel
    library=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    rm -rf "$library/ensurepip"
    compile -x '/(test|tests|idlelib|lib2to3|site-packages|dist-packages)/' "$library"
    useradd --no-log-init --uid 10001 --gid 0 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin earthloop
    for folder in /minio /s3 /gcs; do # where the launcher of Kubeflow Pipelines puts artifacts; older ones mount nothing there
        mkdir -p "$folder"
        chmod 1777 "$folder"
    done
}

case ${1:-} in
    packages) packages "${2:?packages needs the name of a lock file: pipeline or serving}" ;;
    code) code ;;
    runtime) runtime ;;
    *)
        echo "install.sh takes one step, 'packages NAME', 'code' or 'runtime'; got '${1:-}'. See kubeflow/Dockerfile." >&2
        exit 2
        ;;
esac
