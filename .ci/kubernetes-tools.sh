#!/bin/sh
# What checks the manifests in kubeflow/serving: kustomize and the definitions of the Prometheus operator and of KServe
# (from Go's module proxy), promtool and prometheus (from Debian). All of it is optional: a test whose tool is missing is
# skipped and says why.
set -u
cd "$(dirname "$0")/.." || exit 1
. .ci/go-modules.sh
kustomize=v5.6.0
operator=v0.85.0 operator_sum=h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=
kserve=v0.17.0 kserve_sum=h1:IaynaBFzVQz1Xyrw5n3ncqzd5Y7L1RkO+YWvVwwtMQE=
target=$PWD/.setup/kubernetes
wanted="kustomize $kustomize, operator $operator_sum, KServe $kserve_sum"

# definitions MODULE VERSION SUM FILE…: copies files of a Go module into crds, if its content has that sum.
definitions() {
    fetch_module "$target" "$1" "$2" "$3" || return
    module=$(printf '%s\n' "$answer" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p')
    shift 3
    for file in "$@"; do
        cp "$module/$file" "$target/crds/" && chmod u+w "$target/crds/${file##*/}" || return
    done
}

if command -v promtool >/dev/null; then
    echo "promtool is there: $(command -v promtool)"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # RUNLEVEL=1 keeps the package from starting a Prometheus of its own
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install -y --no-install-recommends prometheus; } ||
        echo "prometheus was not installed: rules are not tested with promtool, nor is the server scraped"
else
    echo "no promtool, and no right to install it: rules are not tested with promtool, nor is the server scraped"
fi

if [ -f "$target/complete" ] && [ "$(cat "$target/complete")" = "$wanted" ]; then
    echo "kustomize and the definitions are in $target"
elif command -v go >/dev/null; then
    rm -rf "$target/complete" "$target/crds"
    mkdir -p "$target/crds"
    missing=0
    GOBIN=$target/bin go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize" || {
        echo "kustomize was not built: overlays are rendered with kubectl where it is, or not at all"
        missing=1
    }
    crds=example/prometheus-operator-crd/monitoring.coreos.com_
    definitions github.com/prometheus-operator/prometheus-operator $operator $operator_sum \
        ${crds}servicemonitors.yaml ${crds}prometheusrules.yaml || {
        echo "no definitions of the Prometheus operator: ServiceMonitor and PrometheusRule are checked by shape alone"
        missing=1
    }
    definitions github.com/kserve/kserve $kserve $kserve_sum \
        config/crd/full/serving.kserve.io_inferenceservices.yaml config/runtimes/kserve-tensorflow-serving.yaml || {
        echo "no definitions of KServe: the InferenceService is checked by shape alone"
        missing=1
    }
    [ $missing = 1 ] || printf '%s\n' "$wanted" >"$target/complete"
else
    echo "no go: overlays are rendered with kubectl where it is; what is no object of Kubernetes is checked by shape alone"
fi
