"""The compiled spec of every application: `python -m pipeline.kubeflow_golden` writes them, `--check` compares.

They show a reviewer what a change of the code changes on the cluster. Digests of code and of libraries, which change
with every edit, are left out of them.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

from applications import discovery
from pipeline import config as configuration
from pipeline import kubeflow_deployment, kubeflow_runner
from pipeline.kubeflow_spec import KubeflowSpec, given

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = "tests/golden"
DEPLOYMENT = "kubeflow/deployments/example.yaml"
PLACEHOLDER = "<digest of code>"
_IN_JSON = re.compile(r'"code_version": "([0-9a-f]{16})"')


def specs() -> dict[str, str]:
    """Returns the text of each file by its path relative to the project's root."""
    deployment = kubeflow_deployment.read(ROOT / DEPLOYMENT)
    found = {}
    for name in discovery.names():
        application = discovery.load(name)
        config = configuration.resolve(application, data=f"/earthloop/data/{application.model_name}")
        compiled = kubeflow_runner.compile_application(application, config, deployment)
        found[f"{FOLDER}/{application.model_name}.yaml"] = kubeflow_runner.as_yaml(without_digests(compiled.spec))
    return found


def without_digests(spec: KubeflowSpec) -> KubeflowSpec:
    """Puts a placeholder where a digest of code stands."""
    text = json.dumps(spec.pipeline)
    for digest in set(_digests(spec)):
        text = text.replace(digest, PLACEHOLDER)
    return dataclasses.replace(spec, pipeline=json.loads(text))


def _digests(spec: KubeflowSpec) -> Iterator[str]:
    for dag in spec.dags():
        for task in dag.tasks.values():
            for name, value in given(task, "parameters").items():
                constant = (value.get("runtimeValue") or {}).get("constant")
                if name == "code_version" and constant:
                    yield str(constant)
                elif isinstance(constant, str):
                    yield from _IN_JSON.findall(constant)


def main(arguments: Sequence[str]) -> int:
    """Writes the files, or with `--check` says which differ; returns 1 if some do."""
    is_checking = "--check" in arguments
    made = specs()
    old = {str(path.relative_to(ROOT)) for path in (ROOT / FOLDER).glob("*.yaml")}
    differing = sorted(old - made.keys())
    for path, text in made.items():
        file = ROOT / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            differing.append(path)
            if not is_checking:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    if not is_checking:
        for path in old - made.keys():
            (ROOT / path).unlink()
    if is_checking and differing:
        sys.stderr.write(
            f"{', '.join(differing)} must be as the code says. Run `python -m pipeline.kubeflow_golden`.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
