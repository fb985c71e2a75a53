from __future__ import annotations

import pytest

from bootstrap import apt
from bootstrap.console import CommandFailed, Programs, SetupError

DEB822 = """# the machine's own
Types: deb deb-src
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb
URIs: http://security.debian.org/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://unused.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """deb [signed-by=/x.gpg arch=amd64] http://archive.example/debian bookworm main  # comment
deb http://tools.example/apt bookworm-tools main
deb-src http://sources.example/debian bookworm main
"""


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text(ONE_LINE)
    return tmp_path


def test_both_source_formats_are_read_and_debian_s_own_comes_first(sources):
    assert apt.debian_mirrors("bookworm", sources) == ["http://archive.example/debian", "https://mirror.example/debian"]


def test_another_release_has_no_mirror_here(sources):
    assert apt.debian_mirrors("bullseye", sources) == []


class Unreachable(Programs):
    def run(self, command, **_):
        raise CommandFailed(command, 100, "E: Failed to fetch x  Could not connect to 127.0.0.1:9. connection refused")


def test_an_archive_out_of_reach_is_one_sentence(tmp_path, sources, monkeypatch):
    monkeypatch.setattr(apt, "debian_mirrors", lambda codename: ["http://archive.example/debian"])
    with pytest.raises(SetupError, match=r"not reached \(http://archive.example/debian: connection refused\).*libc6"):
        apt.Archive(tmp_path / "state", "trixie", Unreachable()).unpack("libc6")


def test_without_a_mirror_the_error_names_the_place(tmp_path, monkeypatch):
    monkeypatch.setattr(apt, "debian_mirrors", lambda codename: [])
    with pytest.raises(SetupError, match="/etc/apt names none"):
        apt.Archive(tmp_path / "state", "trixie", Programs()).unpack("libc6")
