from __future__ import annotations

import ast
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest


@pytest.fixture
def packages(project):
    tree = ast.parse((project / "setup.py").read_text())
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "PACKAGES"]
    return ast.literal_eval(values[0])


def test_setup_py_lists_every_package_folder_that_is_ours(project, packages):
    folders = {path.parent.name for path in project.glob("*/__init__.py")}
    assert folders - {"benchmarks", "bootstrap"} == set(packages)  # those two are for developers, not shipped


def test_every_folder_of_a_package_is_a_package(project, packages):
    without = [
        str(folder.relative_to(project))
        for package in packages
        for folder in {path.parent for path in (project / package).rglob("*.py")}
        if not (folder / "__init__.py").exists()
    ]
    assert without == []


def test_the_folder_kubeflow_hides_no_package(project):
    assert not (project / "kubeflow" / "__init__.py").exists()


def test_each_package_is_imported_from_this_repository(project, packages):
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert pathlib.Path(spec.origin).parent == project / name


def test_the_editable_install_is_a_plain_path(project):
    hooks = list(pathlib.Path(sys.prefix).glob("lib/python*/site-packages/__editable__*earthloop*"))
    if not hooks:
        pytest.skip("the project is not installed here in the editable way")
    assert [path.read_text().strip() for path in hooks] == [str(project)]


def test_the_distribution_describes_itself_without_tensorflow(project, tmp_path):
    code = (
        "import sys, runpy; sys.modules.update(tensorflow=None, tfx=None); "
        "sys.argv = ['setup.py', '--name', '--version', '--classifiers']; runpy.run_path('setup.py')"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert answer.stdout.split()[:2] == ["earthloop", "0.1.0"]


def test_ci_of_both_hosts_calls_the_same_script(project):
    for name in (".github/workflows/ci.yml", ".gitlab-ci.yml"):
        assert re.search(r"^\s*(- )?(run: )?\.ci/run$", (project / name).read_text(), flags=re.MULTILINE), name


def test_the_script_of_ci_is_executable(project):
    assert (project / ".ci" / "run").stat().st_mode & 0o111


def test_make_help_names_every_target(project):
    makefile = (project / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split()
    told = subprocess.run(["make", "help"], cwd=project, capture_output=True, text=True, check=True).stdout
    assert [target for target in targets if f"make {target} " not in told] == []
