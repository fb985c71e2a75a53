"""Pipeline specs made by hand, whose containers run a few lines of Python."""

from __future__ import annotations

import json

import pytest
import yaml

from pipeline.cli.main import main

ARTIFACT = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}


class Pipeline:
    """A pipeline in the making; `text` is its YAML."""

    def __init__(self):
        self.components = {}
        self.executors = {}
        self.tasks = {}
        self.parameters = {}
        self.platform = None

    def add(self, name, script="", *, args=(), gives=(), told=None, takes=None, values=None, tasks=None, **task):
        """Adds a container.

        Args:
            name: of the task.
            script: what `python -c` runs.
            args: arguments of the container.
            gives: keys of output artifacts.
            told: output parameters, type by key.
            takes: input artifacts, `task.key` by key.
            values: input parameters: a constant, or the task's own way to say it, by name.
            tasks: the DAG it belongs to; that of the root if left out.
            **task: further fields of the task.
        """
        inputs = {"parameters": {}, "artifacts": {}}
        declared = {"parameters": {}, "artifacts": {}}
        for key, source in (takes or {}).items():
            producer, _, output = source.rpartition(".")
            inputs["artifacts"][key] = {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": output}}
            declared["artifacts"][key] = ARTIFACT
        kinds = {bool: "BOOLEAN", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", list: "LIST", str: "STRING"}
        for key, value in (values or {}).items():
            is_said = isinstance(value, dict)
            inputs["parameters"][key] = value if is_said else {"runtimeValue": {"constant": value}}
            declared["parameters"][key] = {"parameterType": "STRING" if is_said else kinds[type(value)]}
        self.components[name] = {
            "executorLabel": f"{name}_executor",
            "inputDefinitions": declared,
            "outputDefinitions": {
                "artifacts": dict.fromkeys(gives, ARTIFACT),
                "parameters": {key: {"parameterType": kind} for key, kind in (told or {}).items()},
            },
        }
        self.executors[f"{name}_executor"] = {
            "container": {"image": "any:1", "command": ["python", "-c", script], "args": list(args)}
        }
        where = self.tasks if tasks is None else tasks
        where[name] = {"taskInfo": {"name": name}, "componentRef": {"name": name}, "inputs": inputs, **task}
        return self

    def document(self):
        return {
            "schemaVersion": "2.1.0",
            "pipelineInfo": {"name": "tiny"},
            "root": {"dag": {"tasks": self.tasks}, "inputDefinitions": {"parameters": self.parameters}},
            "components": self.components,
            "deploymentSpec": {"executors": self.executors},
        }

    def text(self):
        documents = [self.document(), self.platform] if self.platform else [self.document()]
        return yaml.safe_dump_all(documents)


@pytest.fixture
def pipeline():
    return Pipeline()


class Done:
    """What a replay left: exit code, what was printed, its record, its folder."""

    def __init__(self, code, printed, folder):
        self.code, self.printed, self.folder = code, printed, folder
        replays = sorted((folder / "replays").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        self.latest = replays[-1] if replays else None
        self.record = json.loads((self.latest / "record.json").read_text()) if self.latest else {}

    @property
    def states(self):
        return {task["name"]: task["state"] for task in self.record["tasks"]}

    def outputs(self, name):
        return next(task["outputs"] for task in self.record["tasks"] if task["name"] == name)

    def log(self, name):
        return (self.latest / name / "task.log").read_text()

    def stored(self, name, key):
        """Returns the place in the object store of an output."""
        [found] = self.outputs(name)[key]
        return self.folder / "store" / found["uri"].replace("://", "/")


@pytest.fixture
def replay(tmp_path, capfd):
    """Replays a pipeline in one folder, as often as it is called."""

    def run(pipeline, *words):
        file = tmp_path / "tiny.yaml"
        file.write_text(pipeline.text())
        code = main(["replay", str(file), "--out", str(tmp_path / "out"), *words])
        found = capfd.readouterr()
        return Done(code, found.out + found.err, tmp_path / "out")

    return run
