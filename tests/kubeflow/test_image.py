"""The images, built by the Dockerfile's own steps in a Debian 13 without a container engine, and used as a pod does."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import stat
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_log = logging.getLogger(__name__)

GIB = 2**30
IMPORT_ALL = """
import importlib, pkgutil, serving
for each in pkgutil.iter_modules(serving.__path__, "serving."):
    print(importlib.import_module(each.name).__name__)
"""
ANYBODY = "54321:0"  # a user that the image does not know, in root's group: what some clusters choose
CODE = "opt/earthloop/code"
VENV = "opt/earthloop/venv"


def size_bytes(root):
    """What the files take, each counted once, as `du` does."""
    done = subprocess.run(["du", "-sxB1", root], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def files(root):
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.fixture(scope="module")
def pipeline(build):
    return build.image("pipeline", VERSION="1.2.3", REVISION="abc", CREATED="2026-01-02T03:04:05Z")


@pytest.fixture(scope="module")
def serving(build):
    return build.image("serving", VERSION="1.2.3")


@pytest.fixture(params=["pipeline", "serving"])
def image(request):
    return request.getfixturevalue(request.param)


def test_the_pipeline_s_image_is_below_4_gib_and_the_serving_one_smaller(pipeline, serving):
    sizes = {each.root.name: size_bytes(each.root) / GIB for each in (pipeline, serving)}
    _log.info("GiB: %s", sizes)  # --log-cli-level=INFO shows it, for docs/image.md
    assert sizes["serving"] < sizes["pipeline"] - 0.3
    assert sizes["pipeline"] < 4


def test_the_machine_s_own_c_library_will_do(image):
    asked = (
        "import os; print(os.confstr('CS_GNU_LIBC_VERSION')); import tensorflow as tf; print(tf.constant(7).numpy())"
    )
    told = image.run(["python", "-c", asked], user=ANYBODY).stdout.splitlines()
    assert (told[0], told[-1]) == ("glibc 2.41", "7")
    assert not (image.root / VENV / "runtime").exists()


def test_the_command_is_there_for_the_image_s_user(image):
    assert image.user == "10001:0"
    assert image.run([*image.entry, "--version"]).stdout.strip().split()[-1][0].isdigit()
    assert "satellite/landcover" in image.run([*image.entry, "list"]).stdout


def test_nothing_that_builds_or_installs_packages_is_left(image):
    names = ("gcc", "cc", "make", "pip", "pip3", "uv", "git")
    asked = "; ".join(f"command -v {name}" for name in names)
    assert image.run(["sh", "-c", f"{asked}; true"]).stdout == ""
    assert (
        image.run(
            ["python", "-c", "import importlib.util as u; print([u.find_spec(n) for n in ('pip', 'ensurepip')])"]
        ).stdout
        == "[None, None]\n"
    )
    assert [path for path in (image.root / "root").rglob("*") if path.is_dir() and path.name in {"uv", "pip"}] == []
    assert not (image.root / CODE / "bootstrap").exists()


def test_every_user_can_read_all_of_it_and_none_but_root_can_change_it(image):
    for path in (image.root / "opt").rglob("*"):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        wanted = 0o555 if stat.S_ISDIR(mode) else 0o444
        assert mode & wanted == wanted, path
        assert mode & 0o022 == 0, path
        assert path.stat().st_uid == 0, path


@pytest.mark.parametrize("folder", [CODE, f"{VENV}/lib/python3.11/site-packages/tensorflow", "usr/lib/python3.11/json"])
def test_bytecode_is_compiled_and_needs_no_times_of_files(image, folder):
    sources = [path for path in files(image.root / folder) if path.suffix == ".py"]
    compiled = [path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc" for path in sources]
    missing = [path for path in compiled if not path.is_file()]
    assert sources
    assert len(missing) <= len(sources) // 100, missing[:5]  # templates that are no Python
    assert {path.read_bytes()[4] for path in compiled if path.is_file()} == {1}  # PEP 552: by hash, never checked


def test_the_labels_say_what_was_built(pipeline):
    told = {name.removeprefix("org.opencontainers.image."): value for name, value in pipeline.labels.items()}
    assert told["version"] == "1.2.3"
    assert told["revision"] == "abc"
    assert told["created"] == "2026-01-02T03:04:05Z"


def test_the_serving_image_has_neither_beam_nor_tfx(serving):
    assert not [
        name
        for name in ("tfx", "apache_beam", "tfx_bsl", "kfp")
        if (serving.root / VENV / "lib/python3.11/site-packages" / name).exists()
    ]
    told = serving.run(["python", "-c", IMPORT_ALL], user=ANYBODY)
    assert told.returncode == 0, told.stdout
    assert "serving.graph_ops" in told.stdout


class Tasks:
    """Runs the task `ingest` of a compiled pipeline, and those it waits for, as the launcher of the backend does.

    Args:
        spec: the pipeline.
        root: the folder that stands for the root of the container's file system, as the container sees it.
        parameters: of the pipeline, but for those with defaults.
    """

    def __init__(self, spec, root, **parameters):
        from pipeline.replay.inputs import Context

        defaults = {name: each.get("defaultValue") for name, each in spec.parameters.items()}
        self.context = Context(spec=spec, run_id="1", parameters={**defaults, **parameters})
        self.root = root

    def ingest(self, run, folder):
        """Runs them one by one.

        Args:
            run: takes a command line and variables of its environment, and returns the finished process.
            folder: where this process sees `root`.

        Returns:
            The folders of the outputs of `ingest`, by key.
        """
        from pipeline.replay import inputs, placeholders

        nodes = self.context.spec.nodes
        [last] = [path for path in self.context.spec.leaves() if nodes[path].name == "ingest"]
        for path in self._before(last):
            node = nodes[path]
            outputs = inputs.provisioned(self.context.spec, node, "1", self.root)
            asked = {"inputs": self.context.inputs(path), "outputs": outputs}
            words = placeholders.fill([*node.container["command"], *node.container["args"]], asked, self.root)
            done = run(words, {each["name"]: each["value"] for each in node.container.get("env", [])})
            assert done.returncode == 0, f"{path}: {done.stdout[-3000:]}"
            told = json.loads((folder / pathlib.Path(outputs["outputFile"]).relative_to(self.root)).read_text())
            self.context.outputs[path] = inputs.Outputs(
                artifacts={
                    key: [{**each["artifacts"][0], **told["artifacts"][key]["artifacts"][0]}]
                    for key, each in outputs["artifacts"].items()
                },
                parameters=told.get("parameterValues", {}),
            )
        left = self.context.outputs[last].artifacts
        return {key: folder / each["uri"].replace("://", "/") for key, [each] in left.items()}

    def _before(self, last):
        nodes, wanted = self.context.spec.nodes, {last}
        while more := {need for path in wanted for need in nodes[path].needs} - wanted:
            wanted |= more
        return [path for path in self.context.spec.leaves() if path in wanted]


@pytest.fixture(scope="module")
def spec(project):
    from pipeline import kubeflow_spec
    from pipeline.replay import spec as replay_spec

    return replay_spec.parse(kubeflow_spec.read(project / "tests" / "golden" / "satellite-landcover.yaml"))


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    """60 synthetic chips, one of them broken."""
    from applications import discovery

    folder = tmp_path_factory.mktemp("chips")
    discovery.source(discovery.load("satellite/landcover")).synthesize(str(folder), items=60, seed=0)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def ingested(pipeline, spec, chips, tmp_path_factory):
    """What `ingest` left in the image: by any user, on a read-only file system, with a backend's volumes."""
    folder = tmp_path_factory.mktemp("pod")
    volumes = {name: folder / name for name in ("minio", "serving")}
    for place in volumes.values():
        place.mkdir()
        place.chmod(0o777)
    given = {"data": str(chips), **{name: str(place) for name, place in volumes.items()}}

    def run(words, variables):
        return pipeline.run(words, user=ANYBODY, environment=variables, **given)

    tasks = Tasks(spec, pathlib.Path("/"), data="/data", push_destination="/serving")
    return tasks.ingest(run, folder)


def summary(left):
    [file] = [path for folder in left.values() for path in folder.rglob("summary.json")]
    return json.loads(file.read_text())


def test_a_task_runs_as_any_user_on_a_read_only_file_system(ingested):
    records = list(ingested["examples"].rglob("*.gz"))
    assert {path.parent.name for path in records} == {"Split-train", "Split-validation", "Split-test"}
    assert {(path.stat().st_uid, path.stat().st_gid) for path in records} == {(54321, 0)}
    assert summary(ingested)["accepted"] == 59


def test_a_task_in_the_image_says_what_it_says_on_this_machine(project, ingested, spec, chips, tmp_path):
    def run(words, variables):
        command = [sys.executable, *words[1:]]
        environment = {**os.environ, **variables, "EARTHLOOP_STAGING_ROOT": str(tmp_path)}
        told = subprocess.PIPE
        return subprocess.run(
            command, env=environment, cwd=project, stdout=told, stderr=subprocess.STDOUT, text=True, check=False
        )

    tasks = Tasks(spec, tmp_path, data=str(chips), push_destination=str(tmp_path / "serving"))
    assert summary(tasks.ingest(run, tmp_path)) == summary(ingested)
