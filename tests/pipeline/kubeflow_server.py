"""A small Kubeflow Pipelines server: real HTTP, the paths and models of kfp-server-api, and no cluster behind it.

What it takes and gives goes through kfp's generated models, so a field of another name fails here as it would there.
"""

from __future__ import annotations

import datetime
import email
import http.server
import json
import re
import ssl
import threading
import urllib.parse

import kfp_server_api as api
import yaml

BEGAN = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
PAGE = "text/html"
LOGIN_PAGE = '<form method="post" action="{}"><input name="login"><input type="password" name="password"></form>'


class Server:
    """What the server has, what it was asked, and how it shall behave."""

    def __init__(self, tls=None):
        self.pipelines, self.versions, self.experiments = [], [], []
        self.runs, self.recurring_runs = [], []
        self.asked: list[tuple[str, str, dict[str, str]]] = []  # method, path, headers in small letters
        self.refusals: list[list] = []  # method, path, status, how often, text
        self.looks: list[tuple[str, list]] = [
            ("SUCCEEDED", [])
        ]  # state and tasks at each look at a run; the last stays
        self.token, self.password, self.multi_user = "", "", False
        self.artifacts = {}
        self.logs: dict[str, str] = {}  # text by the pod's name
        self.shows = "all"  # what --host leads to: "ui" and "api" are one part of an installation alone
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=lambda: self.http.serve_forever(poll_interval=0.01))
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def refuse(self, method, path, status, times=1_000, text='{"message": "no"}'):
        """Answers questions whose path ends so with a status, for so many times."""
        self.refusals.append([method, path, status, times, text])

    def count(self, method, path):
        return sum(1 for asked in self.asked if asked[0] == method and asked[1].endswith(path))

    def refusal(self, method, path):
        for entry in self.refusals:
            if entry[0] == method and path.endswith(entry[1]) and entry[3] > 0:
                entry[3] -= 1
                return entry[2], entry[4]
        return None

    def answer(self, method, path, query, body):
        """Returns a model or a JSON value; None where there is no such path."""
        parts = [part for part in path.removeprefix("/apis/v2beta1").split("/") if part]
        kind = f"{method} {parts[0]}{'/…' if len(parts) > 1 else ''}{'/' + parts[2] if len(parts) > 2 else ''}"
        routes = {
            "GET healthz": lambda: api.V2beta1GetHealthzResponse(multi_user=self.multi_user),
            "GET pipelines": lambda: self.list(api.V2beta1ListPipelinesResponse, "pipelines", query),
            "GET pipelines/…/versions": lambda: self.list_versions(parts, query),
            "GET experiments": lambda: self.list(api.V2beta1ListExperimentsResponse, "experiments", query),
            "POST experiments": lambda: self.create("experiments", "experiment_id", read(api.V2beta1Experiment, body)),
            "GET runs": lambda: self.list(api.V2beta1ListRunsResponse, "runs", query),
            "POST runs": lambda: self.create("runs", "run_id", read(api.V2beta1Run, body)),
            "GET runs/…": lambda: self.look(parts[1]),
            "POST recurringruns": lambda: self.create(
                "recurring_runs", "recurring_run_id", read(api.V2beta1RecurringRun, body)
            ),
            "GET artifacts/…": lambda: self.artifacts.get(parts[1]),
        }
        if path.endswith("/upload"):
            return self.upload(query, body)
        if path.endswith("/upload_version"):
            return self.upload_version(query, body)
        return routes[kind]() if kind in routes else None

    def list(self, model, name, query):
        """Lists the newest first, as its callers want it, those whose display name the filter names."""
        found = [each for each in reversed(getattr(self, name)) if each.display_name == wanted(query, each)]
        return model(**{name: found[: int(query.get("page_size") or 10)] or None})

    def list_versions(self, parts, query):
        of = [each for each in reversed(self.versions) if each.pipeline_id == parts[1]]
        if len(parts) == 4:
            return next(each for each in of if each.pipeline_version_id == parts[3])
        return api.V2beta1ListPipelineVersionsResponse(
            pipeline_versions=[each for each in of if each.display_name == wanted(query, each)] or None
        )

    def create(self, name, key, made):
        setattr(made, key, f"{name}-{len(getattr(self, name)) + 1}")
        made.created_at = BEGAN
        getattr(self, name).append(made)
        return made

    def upload(self, query, body):
        made = self.create("pipelines", "pipeline_id", api.V2beta1Pipeline(display_name=query["name"]))
        self.upload_version({"name": query["name"], "pipelineid": made.pipeline_id}, body)
        return made

    def upload_version(self, query, body):
        spec = next(yaml.load_all(uploaded(body), Loader=yaml.CSafeLoader))
        version = api.V2beta1PipelineVersion(
            display_name=query["name"], pipeline_id=query["pipelineid"], pipeline_spec=spec
        )
        return self.create("versions", "pipeline_version_id", version)

    def look(self, run_id):
        run = next((each for each in self.runs if each.run_id == run_id), None)
        if run is not None:
            state, tasks = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
            run.state, run.run_details = state, api.V2beta1RunDetails(task_details=tasks)
            run.finished_at = BEGAN + datetime.timedelta(seconds=90) if state in ("SUCCEEDED", "FAILED") else None
        return run


def task(name, state, seconds=None, error="", outputs=None):
    """Makes one task of a run, as the server tells it."""
    return api.V2beta1PipelineTaskDetail(
        task_id=f"id-{name}",
        display_name=name,
        state=state,
        start_time=BEGAN,
        end_time=None if seconds is None else BEGAN + datetime.timedelta(seconds=seconds),
        error=api.GoogleRpcStatus(message=error) if error else None,
        outputs={key: api.V2beta1ArtifactList(artifact_ids=ids) for key, ids in (outputs or {}).items()} or None,
    )


def graph(workflow, states):
    """Makes all nodes of a run as the server tells them: no pods, and ids of those that follow.

    Args:
        workflow: its name.
        states: by full name below the workflow, such as `root.train.executor`; None for what Argo omitted.
    """
    made = {"": task(workflow, "RUNNING")}
    for name, state in states.items():
        above = max((each for each in made if name.startswith(f"{each}.") or not each), key=len)
        shown = name.removeprefix(above).lstrip(".")
        hooked = f"{above.rpartition('.')[2]}.onExit"  # Argo shows a hook with the name of what it hangs on
        made[name] = task(hooked if shown == "onExit" else shown, state, 4)
        if "(" in name:
            above = name.partition("(")[0]
        made[above].child_tasks = [
            *(made[above].child_tasks or []),
            api.PipelineTaskDetailChildTask(pod_name=f"{workflow}-{number(f'{workflow}.{name}')}"),
        ]
    return list(made.values())


def number(name):
    """The FNV-1a hash by which Argo tells nodes apart."""
    found = 2166136261
    for byte in name.encode():
        found = (found ^ byte) * 16777619 % 2**32
    return found


def read(model, body):
    """Makes a model of a question's body; a field that it has not fails."""
    return api.ApiClient().deserialize(type("Answer", (), {"data": checked(model, body)}), model.__name__)


def checked(model, body):
    unknown = set(json.loads(body)) - set(model.attribute_map.values())
    assert not unknown, f"{model.__name__} has no {unknown}"
    return body


def wanted(query, each):
    """Returns the display name that the filter wants, any where there is no filter."""
    if not query.get("filter"):
        return each.display_name
    (predicate,) = json.loads(query["filter"])["predicates"]
    assert (predicate["operation"] in ("EQUALS", 1), predicate["key"]) == (True, "display_name")
    return predicate["stringValue"]


def uploaded(body):
    """Returns the file of a multipart body."""
    head = re.match(rb"--([^\r]+)\r\n", body)[1]
    message = email.message_from_bytes(b"Content-Type: multipart/form-data; boundary=" + head + b"\r\n\r\n" + body)
    (part,) = message.get_payload()
    assert part.get_param("name", header="content-disposition") == "uploadfile"
    return part.get_payload(decode=True)


def _handler(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # one packet for an answer: small ones would wait for each other

        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(url.query))
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            server.asked.append((self.command, url.path, {key.lower(): value for key, value in self.headers.items()}))
            refused = server.refusal(self.command, url.path)
            if refused:
                self.send(*refused, kind=PAGE if refused[1].startswith("<") else "application/json")
            elif server.token and self.headers.get("authorization") != f"Bearer {server.token}":
                self.send(401, '{"error": "Unauthorized", "message": "Request header error: no user identity."}')
            elif server.password and "session=good" not in (self.headers.get("cookie") or ""):
                self.login(url.path, body)
            elif url.path == "/k8s/pod/logs" and server.shows != "api":
                self.interface_log(query)
            elif url.path.startswith("/apis/v1alpha1/") and server.shows != "ui":
                self.api_log(url.path.split("/"))
            elif url.path.startswith("/apis/v1alpha1/"):
                self.send(404, f"<!DOCTYPE html><pre>Cannot GET {url.path}</pre>", kind=PAGE)
            elif server.shows == "api" and not url.path.startswith("/apis/"):
                self.send(404, "404 page not found\n", kind="text/plain; charset=utf-8")
            elif not url.path.startswith("/apis/"):
                self.send(200, "<html>the page</html>", kind=PAGE)
            else:
                found = server.answer(self.command, url.path, query, body)
                text = json.dumps(api.ApiClient().sanitize_for_serialization(found))
                self.send(*((404, '{"message": "not found"}') if found is None else (200, text)))

        do_POST = do_GET

        def interface_log(self, query):
            """As frontend/server/handlers/pod-logs.ts of KFP."""
            name = query.get("podname")
            if name in server.logs:
                self.send(200, server.logs[name], kind="")
            else:
                said = f"Error: Unable to retrieve workflow status: {name} not found."
                self.send(500, f"Could not get main container logs: {said}", kind=PAGE)

        def api_log(self, parts):
            """As backend/src/apiserver/server/run_log_server.go of KFP: what goes wrong comes under status 200."""
            _, _, _, kind, run_id, _, name, log = parts
            assert (kind, log) == ("runs", "log")
            missing = json.dumps({"error_message": f"Failed to read logs for run {run_id}", "error_details": "…"})
            self.send(200, server.logs.get(name, missing), kind="text/plain; charset=utf-8")

        def login(self, path, body):
            """The way through Dex: choose how, fill in the form, come back with a session."""
            fields = dict(urllib.parse.parse_qsl(body.decode()))
            if path == "/dex/auth":
                self.send(200, '<a href="/dex/auth/local?state=7">with e-mail</a>', kind=PAGE)
            elif path == "/dex/auth/local" and fields.get("password") == server.password:
                self.send(303, "", {"Location": "/", "Set-Cookie": "session=good; Path=/; HttpOnly"})
            elif path == "/dex/auth/local":
                self.send(200, LOGIN_PAGE.format("/dex/auth/local?state=7"), kind=PAGE)
            else:
                self.send(302, "", {"Location": "/dex/auth"})

        def send(self, status, text, headers=None, kind="application/json"):
            data = text.encode()
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": len(data), **(headers or {})}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler
