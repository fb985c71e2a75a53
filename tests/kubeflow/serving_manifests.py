"""What the tests of `kubeflow/serving` share: rendering with kustomize, and the schemas of custom resources."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SERVING = ROOT / "kubeflow" / "serving"
TOOLS = ROOT / ".setup" / "kubernetes"  # .ci/kubernetes-tools.sh puts them there
RENDERED = ("overlays/single", "overlays/scaled", "overlays/gpu", "overlays/s3", "overlays/gcs", "volume", "kserve")
CRDS = {
    "ServiceMonitor": "monitoring.coreos.com_servicemonitors.yaml",
    "PrometheusRule": "monitoring.coreos.com_prometheusrules.yaml",
}


def render(folder: str) -> list[dict]:
    """Returns the objects of a folder as the cluster would get them; skips where nothing can render it."""
    own = TOOLS / "bin" / "kustomize"
    if own.is_file() or shutil.which("kustomize"):
        command = [str(own) if own.is_file() else "kustomize", "build"]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is there; sh .ci/kubernetes-tools.sh gets the first")
    done = subprocess.run([*command, str(SERVING / folder)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def fetched(name: str) -> pathlib.Path:
    """Returns the path of a definition that `.ci/kubernetes-tools.sh` fetches; skips where it is not there."""
    path = TOOLS / "crds" / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {path.parent}; sh .ci/kubernetes-tools.sh gets it")
    return path


def strict(schema: dict) -> dict:
    """Returns the schema so that fields it does not know are refused, as the API server's strict validation does."""
    made = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes")}
    for key in ("properties", "patternProperties"):
        if key in made:
            made[key] = {name: strict(value) for name, value in made[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = strict(made[key])
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in made and not is_open:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        pattern = {key: schema[key] for key in ("pattern",) if key in schema}  # of quantities, such as "500m"
        made = {"anyOf": [{"type": "integer"}, {"type": "string", **pattern}]}
    return made


def check_custom(thing: dict, crd: pathlib.Path) -> None:
    """Validates a custom resource against its definition."""
    definition = yaml.load(crd.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    [schema] = [
        version["schema"]["openAPIV3Schema"]
        for version in definition["spec"]["versions"]
        if f"{definition['spec']['group']}/{version['name']}" == thing["apiVersion"]
    ]
    schema = strict(schema)
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.Draft202012Validator(schema).validate(thing)
