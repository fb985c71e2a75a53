#!/bin/sh
# Clients that the gRPC server is tested with: h2spec and ghz (from Go's module proxy, built here), nghttp and h2load (from
# Debian). All of it is optional: a test whose tool is missing is skipped and says why.
set -u
cd "$(dirname "$0")/.." || exit 1
. .ci/go-modules.sh
h2spec=v2.2.1+incompatible h2spec_sum=h1:Ex8kpG4LjIeudEtfbM892Os2PawIZBsEvukHJcvZHho=
ghz=v0.120.0 ghz_sum=h1:6F4wsmZVwFg5UnD+/R+IABWk6sKE/0OKIBdUQUZnOdo=
target=$PWD/.setup/protocol
wanted="h2spec $h2spec_sum, ghz $ghz_sum"

# build MODULE VERSION SUM COMMAND: builds a command of a Go module into bin, if the module's content has that sum.
build() {
    fetch_module "$target" "$1" "$2" "$3" || return
    GOBIN=$target/bin go install "$1/$4@$2"
}

if command -v h2load >/dev/null && command -v curl >/dev/null; then
    echo "h2load and curl are there"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nghttp2-client curl; } ||
        echo "not installed: nghttp2-client, curl; the tests that need them are skipped"
else
    echo "no nghttp2-client or curl, and no right to install: the tests that need them are skipped"
fi

if [ -f "$target/complete" ] && [ "$(cat "$target/complete")" = "$wanted" ]; then
    echo "h2spec and ghz are in $target"
elif command -v go >/dev/null; then
    rm -f "$target/complete"
    mkdir -p "$target/bin"
    missing=0
    build github.com/summerwind/h2spec $h2spec $h2spec_sum cmd/h2spec || {
        echo "h2spec was not built: the server is not held to the standard"
        missing=1
    }
    build github.com/bojand/ghz $ghz $ghz_sum cmd/ghz || {
        echo "ghz was not built: it does not ask the server"
        missing=1
    }
    [ $missing = 1 ] || printf '%s\n' "$wanted" >"$target/complete"
else
    echo "no go: the tests that need h2spec and ghz are skipped"
fi
