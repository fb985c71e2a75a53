"""What we ship, as CycloneDX lists, what is known against it, and a lint of how it is built.

`make sbom`, `make audit`, `make lint-image`.
The tools are pinned in `requirements/supply-chain.lock` and live in `.setup/supply-chain`, away from Earthloop.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bootstrap import known_vulnerabilities
from bootstrap.console import CommandFailed, Programs, SetupError, say
from bootstrap.known_vulnerabilities import Finding
from bootstrap.packages import fill
from bootstrap.steps import only_one
from bootstrap.tools import Tools

SHIPPED = ("pipeline", "serving")  # lock files of what an image holds
FOLDER = "build/supply-chain"
ALLOWED = "requirements/known-vulnerabilities.toml"
DOCKERFILES = ("kubeflow/Dockerfile",)
CI_FILES = {"vendor.github-workflows": ".github/workflows/ci.yml", "vendor.gitlab-ci": ".gitlab-ci.yml"}
_LOCK = "supply-chain"
_VALIDATION = (
    "import sys; from cyclonedx.schema import SchemaVersion; "
    "from cyclonedx.validation.json import JsonStrictValidator; "
    "found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1], encoding='utf-8').read()); "
    "sys.exit(f'not CycloneDX 1.6: {found}' if found else 0)"
)


class SupplyChain:
    """The commands.

    Args:
        root: the checkout.
        base: the interpreter to build the tools' environment on.
        out: the folder that the reports go to.
    """

    def __init__(self, root: Path, base: Path, out: Path) -> None:
        self.root = root
        self.out = out
        self.folder = root / ".setup" / _LOCK
        self._base = base
        self._programs = Programs()

    def sbom(self) -> int:
        """Writes `sbom-<lock>.cdx.json` for each lock file that is shipped, checked against CycloneDX's schema.

        Returns:
            0.

        Raises:
            SetupError: the tools cannot be fetched, or what they wrote is not CycloneDX.
        """
        self._ensure()
        version = project_version(self.root)
        for name in SHIPPED:
            file = self.out / f"sbom-{name}.cdx.json"
            words = ["requirements", "--spec-version", "1.6", "--output-reproducible", "--output-format", "JSON"]
            words.append("--no-validate")  # that follows, when the list is complete
            lock = f"requirements/{name}.lock"  # from the root, so that no path of this machine gets into the list
            self._programs.run([self._tool("cyclonedx-py"), *words, "--output-file", file, lock], cwd=self.root)
            found = with_subject(json.loads(file.read_text(encoding="utf-8")), name, version)
            file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            self.validate(file)
            say(f"{file}: {len(found['components'])} packages, CycloneDX {found['specVersion']}")
        return 0

    def validate(self, file: Path) -> None:
        """Holds a file against the schema of CycloneDX 1.6; raises `SetupError` where it does not fit."""
        self._ensure()
        try:
            self._programs.run([self._tool("python"), "-I", "-c", _VALIDATION, file])
        except CommandFailed as error:
            raise SetupError(f"{file} must be CycloneDX 1.6 in JSON: {error.output.strip()[:500]}.") from error

    def audit(self) -> int:
        """Looks every shipped package up among known vulnerabilities; writes `audit-<lock>.json`.

        Returns:
            0, or 1 where one is found that `requirements/known-vulnerabilities.toml` does not let pass.

        Raises:
            SetupError: not every package could be looked up.
        """
        self._ensure()
        allowed = known_vulnerabilities.read(self.root / ALLOWED)
        findings: set[Finding] = set()
        for name in SHIPPED:
            findings |= self._audit(name)
        verdict = known_vulnerabilities.judge(findings, allowed, datetime.datetime.now(tz=datetime.UTC).date())
        for line in verdict.lines:
            say(line)
        return 1 if verdict.refused else 0

    def lint(self) -> int:
        """Reads the Dockerfile as hadolint does, and the definitions of CI by the schemas of their hosts.

        Returns:
            0.

        Raises:
            CommandFailed: one is not as it should be; the text says where.
        """
        self._ensure()
        if sys.platform == "linux":
            self._programs.run([self._tool("hadolint"), *DOCKERFILES], cwd=self.root)
        for schema, file in CI_FILES.items():
            command: list[str | Path] = [self._tool("check-jsonschema"), "--builtin-schema", schema, "--no-cache", file]
            self._programs.run(command, cwd=self.root)
        say(f"nothing to say about {', '.join((*DOCKERFILES, *CI_FILES.values()))}")
        return 0

    def _audit(self, name: str) -> set[Finding]:
        file = self.out / f"audit-{name}.json"
        file.unlink(missing_ok=True)
        lock = self.root / "requirements" / f"{name}.lock"
        command: list[str | Path] = [self._tool("pip-audit"), "--requirement", lock]
        command += [
            "--require-hashes",
            "--disable-pip",
            "--progress-spinner",
            "off",
            "--desc",
            "off",
            "--format",
            "json",
            "--output",
            file,
        ]
        try:
            self._programs.run(command)
        except CommandFailed as error:  # its exit status is also that of a finding
            if not file.is_file():
                raise SetupError(_not_looked_up(name, error.network_reason or str(error))) from error
        dependencies = json.loads(file.read_text(encoding="utf-8"))["dependencies"]
        skipped = [each["name"] for each in dependencies if "skip_reason" in each]
        if skipped:  # pip-audit itself counts these as harmless
            raise SetupError(
                _not_looked_up(
                    name, f"{len(skipped)} of {len(dependencies)} are unknown to it, such as {', '.join(skipped[:5])}"
                )
            )
        say(f"{file}: {len(dependencies)} packages were looked up")
        return findings_of(dependencies)

    def _ensure(self) -> None:
        """Fetches the tools unless those that the lock file names are there."""
        self.out.mkdir(parents=True, exist_ok=True)
        lock = self.root / "requirements" / f"{_LOCK}.lock"
        mark, key = self.folder / "complete", hashlib.sha256(lock.read_bytes()).hexdigest()
        if mark.is_file() and mark.read_text(encoding="utf-8") == key and self._tool("python").exists():
            return
        with only_one(self.root) as descriptor:
            fill(Tools(self.root, self._base, Programs(descriptor)), self.folder, _LOCK)
            mark.write_text(key, encoding="utf-8")

    def _tool(self, name: str) -> Path:
        return self.folder / "bin" / name


def _not_looked_up(name: str, reason: str) -> str:
    return (
        f"every package of requirements/{name}.lock must be looked up in the Python Package Index's JSON interface, "
        f"where its vulnerabilities stand ({reason}). Nothing is known about these packages, good or bad. Run it "
        "where that index is reached; a mirror often lacks this interface."
    )


def with_subject(found: dict[str, Any], name: str, version: str) -> dict[str, Any]:
    """Returns a list with what it is a list of: the image, which depends on each of its packages."""
    subject = "earthloop" if name == "pipeline" else f"earthloop-{name}"
    component = {"type": "container", "name": subject, "version": version, "bom-ref": subject}
    references = sorted(each["bom-ref"] for each in found["components"])
    others = [each for each in found.get("dependencies", []) if each["ref"] != subject]
    return {
        **found,
        "metadata": {**found["metadata"], "component": component},
        "dependencies": [{"ref": subject, "dependsOn": references}, *others],
    }


def findings_of(dependencies: Sequence[Mapping[str, Any]]) -> set[Finding]:
    """Reads what pip-audit says of packages."""
    return {
        Finding(
            package=each["name"],
            version=each["version"],
            ids=(found["id"], *sorted(found.get("aliases", []))),
            fixed_in=tuple(found.get("fix_versions", [])),
        )
        for each in dependencies
        for found in each.get("vulns", [])
    }


def project_version(root: Path) -> str:
    """Returns the version in setup.py, and the commit where there is one."""
    match = re.search(r'^    version="([^"]+)"', (root / "setup.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    if match is None:
        raise SetupError(f"{root / 'setup.py'} must have a line 'version=\"…\"' in its call of setup(); it has none.")
    try:
        command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        commit = ""
    return f"{match[1]}+{commit}" if commit else match[1]
