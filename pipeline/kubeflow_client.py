"""A Kubeflow Pipelines server, asked through `kfp.Client`: with time limits, and with errors that say what to do.

What only asks is repeated with growing pauses while the server is away; what makes something is sent once, as nobody
knows whether the first one arrived.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import pathlib
from typing import Any

from applications.errors import ConfigError
from pipeline import kubeflow_connection, kubeflow_follow
from pipeline.kubeflow_auth import Login
from pipeline.kubeflow_errors import ServerError, asking

_NOT_FOUND, _NOT_THERE = 404, 501


@dataclasses.dataclass(frozen=True, kw_only=True)
class Address:
    """Where the server is.

    Attributes:
        host: URL of the pipelines' API, with its scheme.
        namespace: of Kubernetes, in installations for several users; "" for none.
        ca_file: certificates to trust in place of those of common authorities.
    """

    host: str
    namespace: str = ""
    ca_file: pathlib.Path | None = None

    def __post_init__(self) -> None:
        if not self.host.startswith(("http://", "https://")):
            raise ConfigError(f"--host must be a URL such as https://kubeflow.example.org/pipeline, got {self.host!r}.")
        object.__setattr__(self, "host", self.host.rstrip("/"))
        if self.ca_file and not self.ca_file.is_file():
            raise ConfigError(f"--ca-file must be a file with certificates (PEM), got {str(self.ca_file)!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uploaded:
    """A version of a pipeline on the server.

    Attributes:
        pipeline_id: of the pipeline.
        version_id: of the version.
        what: how it came there: "new pipeline", "new version", "as it was".
    """

    pipeline_id: str
    version_id: str
    what: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """A run that is asked for.

    Attributes:
        uploaded: what to run.
        experiment: its name; made where there is none.
        name: of the run.
        parameters: those that shall not be the default.
    """

    uploaded: Uploaded
    experiment: str
    name: str
    parameters: dict[str, Any]


class Server:
    """One server, for one person."""

    def __init__(self, address: Address, login: Login) -> None:
        """Logs in where that is a step of its own, and asks whether this is such a server.

        Raises:
            Unanswered: nobody answers.
            ServerError: it is another server, takes nobody without login, or needs a namespace.
        """
        self.host = address.host
        self.namespace = address.namespace
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # else each repetition; errors tell it once
        self._client = kubeflow_connection.connect(address.host, address.ca_file, login)
        with asking(self.host, "say whether it is well"):
            health = self._client.healthy()
        if health is None:
            raise ServerError(
                f"{self.host} is not the address of a Kubeflow Pipelines API: it answers with a page. Behind a "
                "Kubeflow dashboard the address ends in /pipeline, and a login may be needed (--auth)."
            )
        if health.multi_user and not self.namespace:
            raise ConfigError(f"{self.host} has a namespace for each user: say which with --namespace.")

    def upload(self, file: pathlib.Path, name: str) -> Uploaded:
        """Uploads a compiled pipeline, as a version where the server has the pipeline; an unchanged file only once."""
        with asking(self.host, f"look for pipeline {name!r}"):
            found = self._client.list_pipelines(namespace=self.namespace or None, filter=_named(name)).pipelines
        if not found:
            with asking(self.host, f"take pipeline {name!r}", changes=True):
                made = self._client.upload_pipeline(str(file), name, namespace=self.namespace or None)
            with asking(self.host, "list the pipeline's versions"):
                versions = self._client.list_pipeline_versions(made.pipeline_id, sort_by="created_at desc")
            if not versions.pipeline_versions:
                raise ServerError(f"{self.host} took pipeline {name!r} and has no version of it. Look at its page.")
            first = versions.pipeline_versions[0].pipeline_version_id
            return Uploaded(pipeline_id=made.pipeline_id, version_id=first, what="new pipeline")
        return self._upload_version(file, found[0].pipeline_id, name)

    def _upload_version(self, file: pathlib.Path, pipeline_id: str, name: str) -> Uploaded:
        label = f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
        with asking(self.host, f"look for version {label!r}"):
            found = self._client.list_pipeline_versions(pipeline_id, filter=_named(label)).pipeline_versions
        if found:
            return Uploaded(pipeline_id=pipeline_id, version_id=found[0].pipeline_version_id, what="as it was")
        with asking(self.host, f"take version {label!r}", changes=True):
            made = self._client.upload_pipeline_version(str(file), label, pipeline_id=pipeline_id)
        return Uploaded(pipeline_id=pipeline_id, version_id=made.pipeline_version_id, what="new version")

    def start(self, wanted: Wanted) -> str:
        """Starts a run and returns its id."""
        experiment = self._experiment(wanted.experiment)
        with asking(self.host, "start the run", changes=True):
            made = self._client.run_pipeline(
                experiment,
                wanted.name,
                params=wanted.parameters,
                pipeline_id=wanted.uploaded.pipeline_id,
                version_id=wanted.uploaded.version_id,
            )
        return str(made.run_id)

    def repeat(self, wanted: Wanted, every: int | str) -> str:
        """Starts a run again and again, one at a time, without making up for those that were missed.

        Args:
            wanted: the run.
            every: seconds, or KFP's cron expression of six fields.

        Returns:
            Id of the recurring run.
        """
        experiment = self._experiment(wanted.experiment)
        with asking(self.host, "make the recurring run", changes=True):
            made = self._client.create_recurring_run(
                experiment,
                wanted.name,
                interval_second=every if isinstance(every, int) else None,
                cron_expression=every if isinstance(every, str) else None,
                max_concurrency=1,
                no_catchup=True,
                params=wanted.parameters,
                pipeline_id=wanted.uploaded.pipeline_id,
                version_id=wanted.uploaded.version_id,
            )
        return str(made.recurring_run_id)

    def run(self, run_id: str) -> kubeflow_follow.Run:
        """Returns one run."""
        with asking(self.host, f"show run {run_id}"):
            return kubeflow_follow.run_of(self._client.get_run(run_id))

    def runs(self, count: int, experiment: str = "") -> list[kubeflow_follow.Run]:
        """Returns the newest runs, of one experiment where it is named."""
        with asking(self.host, "list the runs"):
            of = None
            if experiment:
                known = self._client.list_experiments(namespace=self.namespace, filter=_named(experiment)).experiments
                if not known:
                    raise ServerError(
                        f"{self.host} has no experiment {experiment!r}. Leave --experiment out to see all."
                    )
                of = known[0].experiment_id
            found = self._client.list_runs(
                page_size=count, sort_by="created_at desc", namespace=self.namespace, experiment_id=of
            )
        return [kubeflow_follow.run_of(each) for each in found.runs or []]

    def artifact_uri(self, artifact_id: str) -> str:
        """Returns where an artifact lies; "" where the server is too old to be asked for artifacts."""
        try:
            with asking(self.host, f"show artifact {artifact_id}"):
                return self._client.artifact_uri(artifact_id)
        except ServerError as error:
            if getattr(error.__cause__, "status", 0) in (_NOT_FOUND, _NOT_THERE):
                return ""
            raise

    def text(self, path: str, query: dict[str, str], what: str) -> tuple[str, str]:
        """Returns content type and text of something that is no part of the API's models.

        Args:
            path: below the host.
            query: by name.
            what: for the text of an error, after "to".
        """
        with asking(self.host, what):
            return self._client.text(path, query)

    def root_of(self, run: kubeflow_follow.Run) -> str:
        """Returns the folder in the object store where a run's artifacts lie, "" where only the cluster knows it."""
        root, (pipeline_id, version_id) = run.root, run.pipeline
        spec: dict[str, Any] = {}
        if pipeline_id and version_id:
            with asking(self.host, "show the pipeline"):
                spec = self._client.get_pipeline_version(pipeline_id, version_id).pipeline_spec or {}
        spec = spec.get("pipeline_spec", spec)
        root = root or spec.get("defaultPipelineRoot", "")
        name = spec.get("pipelineInfo", {}).get("name", "")
        return f"{root.rstrip('/')}/{name}/{run.run_id}/" if root and name else ""

    def page_of(self, run_id: str) -> str:
        """Returns the address of a run's page."""
        return f"{self.host}/#/runs/details/{run_id}"

    def _experiment(self, name: str) -> str:
        with asking(self.host, f"find or make experiment {name!r}", changes=True):
            return str(self._client.create_experiment(name, namespace=self.namespace).experiment_id)


def _named(name: str) -> str:
    """Returns KFP's filter for one display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
