"""The image: its Dockerfile, read; and a Debian 13 in a folder, in which the Dockerfile's steps are executed."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest


def _load(name):
    """Makes a module beside this file importable by its name."""
    spec = importlib.util.spec_from_file_location(name, pathlib.Path(__file__).with_name(f"{name}.py"))
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


containerfile = _load("containerfile")
chroot_build = _load("chroot_build")

# Debian 13 has Python 3.13 alone. What the official image has built into /usr/local is here Debian 12's own package.
PYTHON = """
set -e
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3.11 python3-pip-whl >/dev/null
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log
ln -s /usr/bin/python3.11 /usr/local/bin/python
"""
SOURCES = """
Types: deb
URIs: {mirror}
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@pytest.fixture(scope="session")
def debian(tmp_path_factory):
    """A minimal Debian 13 with Python 3.11, in a folder; stands for the base image."""
    from bootstrap import apt, machine

    missing = [name for name in ("debootstrap", "chroot", "unshare", "mount") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        pytest.skip(
            f"an image is built in a folder by root, with debootstrap; missing: {missing or 'the rights of root'}"
        )
    probe = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount anything: a container without privileges?")
    release = machine.parse_os_release(pathlib.Path("/etc/os-release").read_text())
    mirrors = apt.debian_mirrors(release.get("VERSION_CODENAME", ""))
    if not mirrors:
        pytest.skip("this machine's apt names no mirror of Debian")
    root = tmp_path_factory.mktemp("debian") / "root"
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", "trixie", root, mirrors[0]]
    _or_skip(subprocess.run(command, capture_output=True, text=True, check=False, timeout=900))
    (root / "etc/apt/sources.list.d/bookworm.sources").write_text(SOURCES.format(mirror=mirrors[0]))
    _or_skip(chroot_build.Image(root=root).build(PYTHON, tmp_path_factory.mktemp("no-cache")))
    yield root
    subprocess.run(["rm", "-rf", root], check=True)


def _or_skip(done):
    """Skips where a mirror was not reached, fails where the program failed otherwise."""
    said = done.stdout + (done.stderr or "")
    if any(
        sign in said for sign in ("Failed getting release file", "Couldn't download", "package index was not reached")
    ):
        pytest.skip(f"no network: {said.strip().splitlines()[-1]}")
    assert done.returncode == 0, said[-2000:]


@pytest.fixture(scope="session")
def build(project, debian, tmp_path_factory):
    """Builds the stages of kubeflow/Dockerfile."""
    from bootstrap.steps import uv_cache

    scratch = tmp_path_factory.mktemp("stages")
    yield chroot_build.Build(project, debian, scratch, cache=uv_cache(), judge=_or_skip)
    subprocess.run(["rm", "-rf", scratch], check=True)  # some GB in many files


@pytest.fixture(scope="session")
def stages(project):
    """The stages of kubeflow/Dockerfile by name."""
    return containerfile.read(project / "kubeflow" / "Dockerfile")[1]
