from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys

import pytest

from bootstrap import supply_chain
from bootstrap.console import SetupError
from bootstrap.known_vulnerabilities import Finding
from bootstrap.tools import NotReached

BASE = pathlib.Path(os.path.realpath(sys.executable))
AUDITED = {"name": "click", "version": "8.5", "vulns": []}
BAD = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["8.6"]}


@pytest.fixture
def chain(project, tmp_path, monkeypatch):
    """The commands, with a pip-audit that answers as the file `answer` says."""
    root = tmp_path / "checkout"
    shutil.copytree(project / "requirements", root / "requirements")
    tools = root / ".setup" / "supply-chain" / "bin"
    tools.mkdir(parents=True)
    script = (
        "import pathlib, shutil, sys\n"
        "out = sys.argv[sys.argv.index('--output') + 1]\n"
        "answer = pathlib.Path(__file__).with_name('answer')\n"
        "sys.exit('Connection refused') if not answer.exists() else shutil.copy(answer, out)\n"
        "sys.exit('PYSEC' in answer.read_text())\n"
    )
    (tools / "pip-audit").write_text(f"#!{sys.executable}\n{script}")
    (tools / "pip-audit").chmod(0o755)
    made = supply_chain.SupplyChain(root, BASE, tmp_path / "out")
    monkeypatch.setattr(made, "_ensure", lambda: (tmp_path / "out").mkdir(exist_ok=True))
    return made


def answer(chain, *dependencies):
    (chain.folder / "bin" / "answer").write_text(json.dumps({"dependencies": dependencies}))


def test_packages_without_findings_pass(chain, capsys):
    answer(chain, AUDITED)
    assert chain.audit() == 0
    assert "no known vulnerabilities" in capsys.readouterr().err


def test_a_finding_fails_and_is_told_once_for_both_images(chain, capsys):
    answer(chain, {**AUDITED, "vulns": [BAD]})
    assert chain.audit() == 1
    assert capsys.readouterr().err.count("click 8.5: PYSEC-1 = CVE-1: fixed in 8.6") == 1


def test_packages_that_were_not_looked_up_do_not_pass(chain):
    answer(chain, AUDITED, {"name": "tfx", "skip_reason": "Dependency not found on PyPI"})
    with pytest.raises(SetupError, match=r"1 of 2 are unknown to it, such as tfx\)\. Nothing is known about these"):
        chain.audit()


def test_an_index_that_does_not_answer_is_told(chain):
    with pytest.raises(SetupError, match=r"JSON interface, where its vulnerabilities stand \(connection refused\)"):
        chain.audit()


def test_findings_are_read_with_their_other_names():
    found = supply_chain.findings_of([{**AUDITED, "vulns": [BAD]}, {"name": "tfx", "skip_reason": "?"}])
    assert found == {Finding(package="click", version="8.5", ids=("PYSEC-1", "CVE-1"), fixed_in=("8.6",))}


def test_a_list_gets_the_image_as_its_subject():
    found = {
        "components": [{"bom-ref": "b"}, {"bom-ref": "a"}],
        "metadata": {"tools": {}},
        "dependencies": [{"ref": "a"}],
    }
    made = supply_chain.with_subject(found, "serving", "1.2")
    subject = {"type": "container", "name": "earthloop-serving", "version": "1.2", "bom-ref": "earthloop-serving"}
    assert made["metadata"] == {"tools": {}, "component": subject}
    assert made["dependencies"] == [{"ref": "earthloop-serving", "dependsOn": ["a", "b"]}, {"ref": "a"}]


def test_the_version_is_that_of_setup_py(project, tmp_path):
    (tmp_path / "setup.py").write_text('setup(\n    version="0.7.1",\n)\n')
    assert supply_chain.project_version(tmp_path) == "0.7.1"
    assert supply_chain.project_version(project).startswith("0.1.0")


@pytest.fixture(scope="module")
def real(project, tmp_path_factory):
    """The real tools, and the lists they make."""
    made = supply_chain.SupplyChain(project, BASE, tmp_path_factory.mktemp("lists"))
    try:
        made.sbom()
    except NotReached as error:
        pytest.skip(str(error))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", supply_chain.SHIPPED)
def test_a_list_names_each_locked_package_with_its_hashes(project, real, name):
    found = json.loads((real.out / f"sbom-{name}.cdx.json").read_text())
    lines = (project / "requirements" / f"{name}.lock").read_text().splitlines()
    locked = sorted(
        line.split(" ")[0].split("[")[0].split("==")[0] for line in lines if "==" in line and line[0] not in "# "
    )
    assert sorted(each["name"] for each in found["components"]) == locked
    hashes = [
        part["content"] for each in found["components"] for way in each["externalReferences"] for part in way["hashes"]
    ]
    assert len(hashes) == sum("--hash=sha256:" in line for line in lines)
    assert str(project) not in json.dumps(found)


@pytest.mark.slow
def test_what_is_not_cyclonedx_is_refused(real, tmp_path):
    found = json.loads((real.out / "sbom-serving.cdx.json").read_text())
    found["components"][0]["type"] = "whale"
    (tmp_path / "bad.json").write_text(json.dumps(found))
    with pytest.raises(SetupError, match=r"must be CycloneDX 1\.6 in JSON.*whale"):
        real.validate(tmp_path / "bad.json")


@pytest.mark.slow
def test_the_dockerfile_and_the_definitions_of_ci_are_as_their_readers_want_them(real):
    assert real.lint() == 0
