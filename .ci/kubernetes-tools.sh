#!/bin/sh
# What checks the manifests in kubeflow/serving: kustomize and the Prometheus operator's CRDs (from Go's module proxy),
# promtool and prometheus (from Debian). All of it is optional: a test whose tool is missing is skipped and says why.
set -u
cd "$(dirname "$0")/.." || exit 1
kustomize=v5.6.0
operator=v0.85.0
target=$PWD/.setup/kubernetes

if command -v promtool >/dev/null; then
    echo "promtool is there: $(command -v promtool)"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # RUNLEVEL=1 keeps the package from starting a Prometheus of its own
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install -y --no-install-recommends prometheus; } ||
        echo "prometheus was not installed: rules are not tested with promtool, nor is the server scraped"
else
    echo "no promtool, and no right to install it: rules are not tested with promtool, nor is the server scraped"
fi

if [ -x "$target/bin/kustomize" ] && [ -d "$target/crds" ]; then
    echo "kustomize and the CRDs are in $target"
elif command -v go >/dev/null; then
    mkdir -p "$target" && GOBIN=$target/bin go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize" ||
        echo "kustomize was not built: overlays are rendered with kubectl where it is, or not at all"
    folder=$(cd "$target" && go mod download -json "github.com/prometheus-operator/prometheus-operator@$operator" |
        sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
    if [ -n "$folder" ]; then
        mkdir -p "$target/crds" && cp "$folder"/example/prometheus-operator-crd/*.yaml "$target/crds/"
        chmod u+w "$target"/crds/*.yaml
    else
        echo "the Prometheus operator's CRDs were not reached: ServiceMonitor and PrometheusRule are checked by shape alone"
    fi
else
    echo "no go: overlays are rendered with kubectl where it is; ServiceMonitor and PrometheusRule are checked by shape alone"
fi
