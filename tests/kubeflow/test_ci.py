"""The definitions of CI for both hosts: they can be read, and do the same through the same commands."""

from __future__ import annotations

import re

import pytest
import yaml


@pytest.fixture(scope="module")
def gitlab(project):
    return yaml.safe_load((project / ".gitlab-ci.yml").read_text())


@pytest.fixture(scope="module")
def github(project):
    return yaml.safe_load((project / ".github" / "workflows" / "ci.yml").read_text())["jobs"]


def commands(jobs):
    """Every line that a job runs."""
    lines = [line for job in jobs.values() if isinstance(job, dict) for line in job.get("script", [])]
    lines += [
        step["run"] for job in jobs.values() if isinstance(job, dict) for step in job.get("steps", []) if "run" in step
    ]
    return "\n".join(lines)


def test_both_make_the_lists_and_the_audit_by_the_same_command(project, gitlab, github):
    makefile = (project / "Makefile").read_text()
    for target in ("sbom", "audit", "lint-image"):
        assert f"\n{target}:  ##" in makefile
        for jobs in (gitlab, github):
            assert f"make {target}" in commands(jobs)


def test_a_new_finding_does_not_hold_up_who_did_not_cause_it(gitlab, github):
    assert gitlab["audit"]["allow_failure"] is True
    assert github["audit"]["continue-on-error"] is True


def test_both_build_both_images_and_check_them_by_the_same_script(project, gitlab, github):
    assert ".ci/image build" in commands(gitlab)
    assert ".ci/image check ${{ matrix.name }}" in commands(github)
    script = (project / ".ci" / "image").read_text()
    for target, name in (("pipeline", "earthloop"), ("serving", "earthloop-serving")):
        assert f"build {target} {name}\n" in script
        assert f"check {name}\n" in script
        assert {"target": target, "name": name} in github["image"]["strategy"]["matrix"]["include"]
    assert (project / ".ci" / "image").stat().st_mode & 0o111


def test_an_image_may_take_4_gib(project):
    assert re.findall(r"limit_mib=(\d+)", (project / ".ci" / "image").read_text()) == ["4096"]


def test_both_give_what_the_labels_need(project, github):
    script = (project / ".ci" / "image").read_text()
    builds = [step["with"] for step in github["image"]["steps"] if "build-push" in step.get("uses", "")]
    assert len(builds) == 2
    for name in ("VERSION", "REVISION", "CREATED"):
        assert f'"{name}=$' in script
        assert all(f"{name}=${{{{" in each["build-args"] for each in builds)


def test_a_list_of_what_is_in_it_goes_with_a_pushed_image(gitlab, github):
    [pushed] = [step["with"] for step in github["image"]["steps"] if step.get("with", {}).get("push")]
    assert pushed["sbom"] is True
    assert "cyclonedx-json" in commands(gitlab)


def test_only_the_main_branch_pushes(gitlab, github):
    last = gitlab["images"]["script"][-1]
    assert last.index('"$CI_COMMIT_BRANCH" = "$CI_DEFAULT_BRANCH"') < last.index("docker push")
    for step in github["image"]["steps"]:
        if step.get("with", {}).get("push"):
            assert "github.ref == 'refs/heads/main'" in step["if"]
