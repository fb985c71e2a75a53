"""What the Dockerfile, .dockerignore and the definitions of CI say, read and not run."""

from __future__ import annotations

import ast
import pathlib
import re
import sys

import pytest

containerfile = sys.modules["containerfile"]  # by conftest.py
IMAGES = ("pipeline", "serving")


@pytest.fixture(scope="module")
def ignored(project):
    return containerfile.Ignored((project / ".dockerignore").read_text())


def steps(stages, name):
    return [step for stage in stages.values() for step in stage.steps if step.name == name]


def lineage(stages, name):
    """The steps of a stage and of those it stands on."""
    stage = stages.get(name)
    return [] if stage is None else [*lineage(stages, stage.base), *stage.steps]


def shipped(project):
    [found] = re.findall(r"^PACKAGES = (\(.*?\))", (project / "setup.py").read_text(), flags=re.MULTILINE | re.DOTALL)
    return ast.literal_eval(found)


def test_every_stage_stands_on_one_base_image_of_a_tag_and_perhaps_a_digest(project, stages):
    outside = {stage.base for stage in stages.values() if stage.base not in stages}
    assert outside == {"python:3.11-slim-trixie"}
    assert "FROM python:3.11-slim-trixie${BASE_DIGEST} AS base" in (project / "kubeflow" / "Dockerfile").read_text()


def test_what_is_copied_exists_and_is_sent_to_the_build(project, stages, ignored):
    for step in steps(stages, "copy"):
        if step.source_stage:
            assert step.source_stage in stages
            continue
        for source in step.words[:-1]:
            found = list(project.glob(source))
            assert found, source
            files = [each for path in found for each in (path.rglob("*.py") if path.is_dir() else [path])]
            assert [each for each in files if each.relative_to(project).as_posix() in ignored] == []


def test_what_a_step_mounts_exists_and_is_sent_to_the_build(project, stages, ignored):
    sources = {each["source"] for step in steps(stages, "run") for each in step.mounts if each["type"] == "bind"}
    assert sources == {"kubeflow/install.sh"}
    assert (project / "kubeflow" / "install.sh").is_file()
    assert "kubeflow/install.sh" not in ignored


def test_the_build_is_sent_nothing_but_what_it_copies(project, stages, ignored):
    wanted = {word for step in steps(stages, "copy") if not step.source_stage for word in step.words[:-1]}
    sent = {path.name for path in project.iterdir() if path.is_file() and path.name not in ignored}
    assert sent <= wanted
    for path in (".git/config", ".venv/bin/python", "out/run.json", "tests/conftest.py", "kubeflow/deployments/a.yaml"):
        assert path in ignored, path
    assert "pipeline/__pycache__/build.cpython-311.pyc" in ignored
    assert "applications/satellite/landcover/README.md" not in ignored


def test_every_package_that_is_shipped_is_in_the_image(project, stages):
    copied = {word for step in stages["code"].steps if step.name == "copy" for word in step.words}
    assert set(shipped(project)) <= copied


def test_each_step_is_one_that_the_script_has(project, stages):
    script = (project / "kubeflow" / "install.sh").read_text()
    known = set(re.findall(r"^(\w+)\(\) \{", script, flags=re.MULTILINE))
    called = [step.words[0].split() for step in steps(stages, "run")]
    assert [words[:2] for words in called] == [["sh", "/install.sh"]] * len(called)
    assert {words[2] for words in called} == {"packages", "code", "runtime"} <= known
    locks = [words[3] for words in called if words[2] == "packages"]
    assert locks == ["pipeline", "serving"]
    assert all((project / "requirements" / f"{name}.lock").is_file() for name in locks)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_ends_as_a_user_by_number_that_is_not_root(stages, name):
    users = [step.words[0] for step in lineage(stages, name) if step.name == "user"]
    assert users == ["10001:0"]
    assert stages[name].steps[-1].name == "label"  # what changes with every build comes last


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_what_it_is(stages, name):
    told = dict(pair for step in lineage(stages, name) if step.name == "label" for pair in step.pairs)
    given = {key.removeprefix("org.opencontainers.image.") for key in told}
    assert given == {"title", "description", "version", "revision", "created", "licenses"}
    arguments = {step.words[0].partition("=")[0] for step in stages[name].steps if step.name == "arg"}
    assert arguments == {"VERSION", "REVISION", "CREATED"}


@pytest.mark.parametrize("name", IMAGES)
def test_what_a_container_writes_by_itself_lies_in_tmp(stages, name):
    told = dict(pair for step in lineage(stages, name) if step.name == "env" for pair in step.pairs)
    folders = [value for key, value in told.items() if key == "HOME" or key.endswith(("_HOME", "CONFIGDIR"))]
    assert len(folders) == 4
    assert all(pathlib.PurePosixPath(value).is_relative_to("/tmp") for value in folders)
    assert told["PYTHONDONTWRITEBYTECODE"] == "1"
    assert told["TF_CPP_MIN_LOG_LEVEL"] == "2"
    assert told["PATH"].startswith("/opt/earthloop/venv/bin:")


def test_no_file_of_the_image_names_a_host_or_holds_a_secret(project, stages):
    for name in ("kubeflow/Dockerfile", "kubeflow/install.sh", ".dockerignore"):
        text = (project / name).read_text()
        assert re.findall(r"https?://|\w+\.(?:com|io|org|net|dev)/", text) == [], name
        assert re.findall(r"(?i)(password|token|api_?key)\s*=", text) == [], name
    assert [step for step in steps(stages, "copy") if "add" in step.name] == []


@pytest.mark.parametrize(
    ("path", "is_sent"),
    [
        ("a/b.py", True),
        ("a/__pycache__/b.pyc", False),
        ("__pycache__/b.pyc", False),
        ("a/deep/b.pyc", False),
        ("other.py", False),
        ("r/x.in", True),
        ("r/x.lock", False),
        ("r/sub/x.in", False),
    ],
)
def test_dockerignore_is_read_as_docker_reads_it(path, is_sent):
    rules = containerfile.Ignored("# what is sent\n*\n!a\n!r/*.in\n**/__pycache__\n**/*.py[cod]\n")
    assert (path not in rules) == is_sent


def test_variables_of_a_dockerfile_are_filled():
    assert containerfile.fill("python:3${DIGEST}-$KIND$NONE", {"DIGEST": "@1", "KIND": "slim"}) == "python:3@1-slim"
