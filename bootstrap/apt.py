"""Fetches and unpacks Debian packages from a private apt state: the system stays as it is."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bootstrap.console import CommandFailed, Programs, SetupError
from bootstrap.machine import parse_os_release

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCES = Path("/etc/apt")


def is_there() -> bool:
    """Whether this machine has apt and dpkg."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def debian_mirrors(codename: str, folder: Path = _SOURCES) -> list[str]:
    """Returns the addresses from which this machine takes Debian `codename` itself, Debian's own first.

    Both source formats are read; security and updates suites are left out. A third party's archive may be among them:
    it does no harm, as what is fetched must be signed with Debian's own key.
    """
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    found = []
    for path in files:
        if path.suffix in {".list", ".sources"} and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            for address, suites, components in _deb822(text) if path.suffix == ".sources" else _one_line(text):
                if codename in suites and "main" in components:
                    found.append(address)
    return sorted(dict.fromkeys(found), key=lambda address: ("debian.org" not in address, "/debian" not in address))


def _deb822(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        unfolded = re.sub(r"\n[ \t]+", " ", stanza)
        fields = {k.strip().lower(): v.split() for k, _, v in (line.partition(":") for line in unfolded.splitlines())}
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
            for address in fields.get("uris", []):
                yield address, fields.get("suites", []), fields.get("components", [])


def _one_line(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    for line in text.splitlines():
        words = re.sub(r"\[[^]]*]", "", line.partition("#")[0]).split()
        if len(words) > 3 and words[0] == "deb":  # noqa: PLR2004 (deb ADDRESS SUITE COMPONENT…)
            yield words[1], [words[2]], words[3:]


class Archive:
    """One Debian release, reached through this machine's own mirrors.

    Args:
        folder: holds the private apt state.
        release: the release to fetch from, such as "trixie"; the machine's own where None.
        programs: runs apt.
    """

    def __init__(self, folder: Path, release: str | None, programs: Programs) -> None:
        self.folder = folder
        self.programs = programs
        self._own = parse_os_release(Path("/etc/os-release").read_text(encoding="utf-8")).get("VERSION_CODENAME", "")
        self.release = release or self._own

    def unpack(self, *packages: str) -> Path:
        """Downloads packages, each verified by apt, and unpacks them.

        Returns:
            The folder that holds their files as they would lie under `/`.

        Raises:
            SetupError: no mirror is known, or none was reached.
        """
        mirrors = debian_mirrors(self._own)
        if not mirrors:
            raise SetupError(
                f"set-up fetches {', '.join(packages)} of Debian {self.release} from the machine's own mirror; "
                f"{_SOURCES} names none for '{self._own} main'. Add Debian's source there, or use a newer system."
            )
        failures = []
        for mirror in mirrors:
            try:
                return self._unpack_from(mirror, packages)
            except CommandFailed as error:
                failures.append(f"{mirror}: {error.network_reason or error}")
        raise SetupError(
            f"the Debian archive was not reached ({'; '.join(failures)}). Set-up fetches {', '.join(packages)} of "
            f"Debian {self.release} from it. Check the network or apt's proxy and run the same command again."
        )

    def _unpack_from(self, mirror: str, packages: tuple[str, ...]) -> Path:
        downloads, unpacked = self.folder / "downloads", self.folder / "unpacked"
        for folder in (downloads, unpacked):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (downloads, unpacked, self.folder / "lists" / "partial", self.folder / "cache"):
            folder.mkdir(parents=True, exist_ok=True)
        source = f"Types: deb\nURIs: {mirror}\nSuites: {self.release}\nComponents: main\nSigned-By: {KEYRING}\n"
        (self.folder / "debian.sources").write_text(source, encoding="utf-8")
        options = self._options()
        self.programs.run(["apt-get", *options, "-o", "APT::Update::Error-Mode=any", "update"])
        names = [f"{package}/{self.release}" for package in packages]
        self.programs.run(["apt-get", *options, "download", *names], cwd=downloads)
        for package in sorted(downloads.glob("*.deb")):
            self.programs.run(["dpkg-deb", "-x", package, unpacked])
        return unpacked

    def _options(self) -> list[str]:
        settings = {
            "Dir::State::Lists": self.folder / "lists",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::SourceList": self.folder / "debian.sources",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "30",
            "Acquire::https::Timeout": "30",
        }
        if os.geteuid() == 0:
            settings["APT::Sandbox::User"] = "root"
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
