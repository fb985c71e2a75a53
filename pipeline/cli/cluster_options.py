"""Options of every command that asks a Kubeflow Pipelines server."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from applications.errors import UsageError

if TYPE_CHECKING:
    from pipeline.kubeflow_client import Server

TOKEN, PASSWORD = "EARTHLOOP_KFP_TOKEN", "EARTHLOOP_KFP_PASSWORD"  # names in the environment
_IN_CLUSTER_TOKEN = "KF_PIPELINES_SA_TOKEN_PATH"  # kfp's name for the place of a pod's token
_SECOND_OPTIONS = {"token_file": "token", "user": "dex", "password_file": "dex"}
F = TypeVar("F", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Access:
    """The server that the options name, and who asks it."""

    host: str
    auth: str
    token_file: pathlib.Path | None
    user: str
    password_file: pathlib.Path | None
    namespace: str
    ca_file: pathlib.Path | None

    def server(self) -> Server:
        """Connects; raises `ServerError` or `UsageError`."""
        from pipeline import kubeflow_auth
        from pipeline.kubeflow_client import Address, Server  # imports kfp

        for name, wanted in _SECOND_OPTIONS.items():
            if getattr(self, name) and wanted != self.auth:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} belongs to --auth {wanted}, got --auth {self.auth}.")
        address = Address(host=self.host, namespace=self.namespace, ca_file=self.ca_file)
        login = kubeflow_auth.Login()
        if self.auth == "token":
            token = "" if self.token_file else self._from_environment(TOKEN, "--token-file")
            login = kubeflow_auth.Login(token=token, token_file=self.token_file)
        elif self.auth == "cluster":
            place = os.environ.get(_IN_CLUSTER_TOKEN) or str(kubeflow_auth.IN_CLUSTER_TOKEN)
            login = kubeflow_auth.Login(token_file=pathlib.Path(place))
        elif self.auth == "dex":
            login = kubeflow_auth.Login(user=self.user, password=self._password())
        return Server(address, login)

    def _password(self) -> str:
        from pipeline import kubeflow_auth

        if not self.user:
            raise UsageError("--auth dex needs the user: give --user NAME, often an e-mail address.")
        if self.password_file:
            return kubeflow_auth.secret(self.password_file, "--password-file")
        return self._from_environment(PASSWORD, "--password-file")

    def _from_environment(self, name: str, option: str) -> str:
        found = os.environ.get(name, "").strip("\r\n")
        if not found:
            raise UsageError(f"--auth {self.auth} needs a secret: give {option} FILE, or set {name}.")
        return found


def server_options(function: F) -> Any:
    """Adds `--host` and what goes with it; the function takes them as one argument `access`."""

    @functools.wraps(function)
    def _with_access(**options: Any) -> Any:
        fields = {field.name: options.pop(field.name) for field in dataclasses.fields(Access)}
        return function(access=Access(**fields), **options)

    decorated: Any = _with_access
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


_file = click.Path(path_type=pathlib.Path)
_OPTIONS = (
    click.option(
        "--host", envvar="KF_PIPELINES_ENDPOINT", show_envvar=True, required=True, metavar="URL", help="Of the server."
    ),
    click.option("--namespace", default="", metavar="NAME", help="Of Kubernetes, where each user has one."),
    click.option(
        "--auth",
        type=click.Choice(["none", "token", "dex", "cluster"]),
        default="none",
        show_default=True,
        help="How the server knows who asks; cluster is for commands that run in one of its pods.",
    ),
    click.option("--token-file", type=_file, metavar="FILE", help=f"Bearer token.  [default: environment {TOKEN}]"),
    click.option("--user", default="", metavar="NAME", help="As Dex knows them."),
    click.option("--password-file", type=_file, metavar="FILE", help=f"Of Dex.  [default: environment {PASSWORD}]"),
    click.option("--ca-file", type=_file, metavar="FILE", help="Certificates (PEM) to trust in place of the usual."),
)
