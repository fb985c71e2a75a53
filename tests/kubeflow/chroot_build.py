"""Builds the stages of a Dockerfile in folders, with chroot in place of a container engine. Needs root on Linux.

Each command runs in a mount namespace of its own, so that nothing stays mounted however it ends.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

import containerfile

NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts")  # as a container engine gives them
_CERTIFICATES = "/etc/ssl/certs"
_HANDED_ON = ("PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(kw_only=True)
class Image:
    """A folder that stands for an image, and what its metadata say."""

    root: pathlib.Path
    environment: dict[str, str] = dataclasses.field(default_factory=lambda: {"PATH": _PATH})
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    def run(
        self, words: Sequence[str], *, user: str = "", environment: Mapping[str, str] | None = None, **volumes: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as a hardened pod does: read-only but for /tmp and volumes, as any user.

        Args:
            words: of the command line.
            user: "UID:GID"; that of the image where "".
            environment: further variables.
            **volumes: folders of this machine by where they are mounted, "/" left out, such as `minio="/…"`.
        """
        script = [
            *_bound(self.root, self.root),
            *_devices(self.root),
            *[line for name, place in volumes.items() for line in _bound(pathlib.Path(place), self.root / name)],
            f"mount -o remount,bind,ro {_quoted(self.root)}",
            f"mount -t tmpfs -o mode=1777 none {_quoted(self.root / 'tmp')}",
        ]
        inside = f"cd {self.folder} && exec " + shlex.join(words)
        return self._enter(script, inside, {**self.environment, **(environment or {})}, user or self.user)

    def build(
        self, command: str, cache: pathlib.Path, mounts: Sequence[tuple[pathlib.Path, str]] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Runs a RUN step, with the network and, at /root/.cache/uv, the packages that were fetched before."""
        script = [*_devices(self.root), *_bound(cache, self.root / "root/.cache/uv")]
        network = [path for path in (*NETWORK_FILES, _CERTIFICATES) if os.path.exists(path)]
        for source, target in [*((pathlib.Path(each), each) for each in network), *mounts]:
            script += _bound(source, self.root / target.lstrip("/"))
        handed = {name: os.environ[name] for each in _HANDED_ON for name in (each, each.lower()) if name in os.environ}
        variables = {"HOME": "/root", **handed, **self.environment, **self.arguments}
        return self._enter(script, f"cd {self.folder} && {command}", variables, "0:0")

    def _enter(
        self, script: Sequence[str], inside: str, variables: Mapping[str, str], user: str
    ) -> subprocess.CompletedProcess[str]:
        settings = shlex.join(f"{name}={value}" for name, value in variables.items())
        enter = f"exec chroot --userspec={user} --groups= {_quoted(self.root)} /usr/bin/env -i {settings}"
        whole = "\n".join(["set -e", *script, f"{enter} /bin/sh -c {shlex.quote(inside)}"])
        command = ["unshare", "--mount", "--propagation", "private", "--fork", "sh", "-c", whole]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )


def _quoted(path: pathlib.Path) -> str:
    return shlex.quote(str(path))


def _bound(source: pathlib.Path, target: pathlib.Path) -> list[str]:
    """Makes a folder or file of this machine visible in the image, at a place that is made where it is missing."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    return [f"mount --bind {_quoted(source)} {_quoted(target)}"]


def _devices(root: pathlib.Path) -> list[str]:
    return [*_bound(pathlib.Path("/dev"), root / "dev"), f"mount -t proc none {_quoted(root / 'proc')}"]


class Build:
    """The stages of one Dockerfile.

    Args:
        context: the project.
        base: a folder that stands for the image that the Dockerfile starts from.
        scratch: takes the stages; on the file system of `base`, so that stages can share files.
        cache: what uv fetched.
        judge: is called with each finished RUN.
    """

    def __init__(
        self,
        context: pathlib.Path,
        base: pathlib.Path,
        scratch: pathlib.Path,
        *,
        cache: pathlib.Path,
        judge: Callable[[subprocess.CompletedProcess[str]], None],
    ) -> None:
        self._context = context
        self._base = base
        self._scratch = scratch
        self._cache = cache
        self._judge = judge
        _, self._stages = containerfile.read(context / "kubeflow" / "Dockerfile")
        self._ignored = containerfile.Ignored((context / ".dockerignore").read_text(encoding="utf-8"))
        steps = [step for stage in self._stages.values() for step in stage.steps]
        self._uses = collections.Counter(step.source_stage for step in steps if step.name == "copy")
        self._done: dict[str, Image] = {}

    def image(self, name: str, **arguments: str) -> Image:
        """Builds a stage and those it stands on, each once."""
        if name not in self._done:
            stage = self._stages[name]
            self._done[name] = self._begun(stage)
            for step in stage.steps:
                self._do(self._done[name], step, arguments)
        return self._done[name]

    def _begun(self, stage: containerfile.Stage) -> Image:
        root = self._scratch / stage.name
        if stage.base not in self._stages:
            subprocess.run(["cp", "-a", self._base, root], check=True)
            return Image(root=root)
        below = self.image(stage.base)
        subprocess.run(["cp", "-a", below.root, root], check=True)
        return dataclasses.replace(
            below, root=root, environment=dict(below.environment), labels=dict(below.labels), arguments={}
        )

    def _do(self, image: Image, step: containerfile.Step, arguments: Mapping[str, str]) -> None:
        known = {**image.arguments, **image.environment}
        if step.name == "arg":
            name, _, value = step.words[0].partition("=")
            image.arguments[name] = arguments.get(name, containerfile.fill(value, known))
        elif step.name == "env":
            image.environment.update({name: containerfile.fill(value, known) for name, value in step.pairs})
        elif step.name == "label":
            image.labels.update({name: containerfile.fill(value, known) for name, value in step.pairs})
        elif step.name == "workdir":
            image.folder = step.words[0]
            (image.root / image.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.name == "user":
            image.user = step.words[0]
        elif step.name == "entrypoint":
            image.entry = step.words
        elif step.name == "cmd":
            image.command = step.words
        elif step.name == "copy":
            self._copy(image, step)
        elif step.name == "run":
            self._run(image, step)
        else:
            raise ValueError(f"the test does not know the instruction {step.name.upper()}")

    def _run(self, image: Image, step: containerfile.Step) -> None:
        given = [(self._context / each["source"], each["target"]) for each in step.mounts if each["type"] == "bind"]
        self._judge(image.build(step.words[0], self._cache, given))
        for _, target in given:  # a place where something was mounted; it is not part of the image
            (image.root / target.lstrip("/")).unlink()
        shutil.rmtree(image.root / "root/.cache", ignore_errors=True)

    def _copy(self, image: Image, step: containerfile.Step) -> None:
        *sources, last = step.words
        target = pathlib.PurePosixPath(image.folder, last)
        place = image.root / str(target).lstrip("/")
        if step.source_stage:
            [source] = sources
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            made = self.image(step.source_stage).root / source.lstrip("/")
            is_last_use = self._uses[step.source_stage] == 1  # nobody misses it, and moving some GB takes no time
            subprocess.run(["mv", made, place] if is_last_use else ["cp", "-a", made, place], check=True)
            return
        found = [path for source in sources for path in sorted(self._context.glob(source))]
        if not found:
            raise FileNotFoundError(f"COPY {' '.join(step.words)}: nothing of that name")
        for path in found:
            self._send(path, place / path.name if last.endswith("/") else place)

    def _send(self, path: pathlib.Path, place: pathlib.Path) -> None:
        """Copies what .dockerignore lets through."""
        if path.is_dir():
            for child in sorted(path.iterdir()):
                self._send(child, place / child.name)
        elif path.relative_to(self._context).as_posix() not in self._ignored:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)
