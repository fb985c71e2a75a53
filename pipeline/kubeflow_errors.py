"""What a Kubeflow Pipelines server, or the way to it, answers instead of doing what it was asked; in sentences."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator

import kfp_server_api
import urllib3.exceptions

from applications.errors import EarthloopError

_SAID = 600  # characters of the server's own words that are passed on
_LOG_IN = (
    "Give --auth token, dex or cluster, whichever the installation uses; with one of them, the token or session has "
    "expired or is not for this server."
)
_NEXT = {
    400: "Change what it names; what it refuses of a pipeline, `earthloop lint` may explain.",
    401: _LOG_IN,
    403: (
        "It may not be known who you are (--auth), or you have no role in this namespace: --namespace names another, "
        "and who runs the installation gives the role."
    ),
    404: (
        "Look the id up with `earthloop cluster-runs`; where every command says this, --host is not the address of the "
        "pipelines' API: behind a Kubeflow dashboard it ends in /pipeline."
    ),
    409: "Something of that name is there already: wait for whoever makes it now, or choose another name.",
}
_REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (429, 502, 503, 504)


class ServerError(EarthloopError, RuntimeError):
    """The server refused; the text says what, why and what to do."""


class Unanswered(ServerError):
    """The server cannot be reached, or has no time: the same may work later."""


@contextlib.contextmanager
def asking(host: str, what: str, *, changes: bool = False) -> Iterator[None]:
    """Turns what goes wrong inside into sentences, and keeps what kfp prints from the output.

    Args:
        host: for the text.
        what: the question, after "to": "list the runs".
        changes: the server makes something, so it matters whether a question without an answer has arrived.

    Raises:
        Unanswered: nobody answered, or said that it has no time.
        ServerError: anything else.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # kfp prints links without being asked
            yield
    except kfp_server_api.ApiException as error:
        if not error.status:
            raise _puzzle(host, what, error.reason) from error
        location = (error.headers or {}).get("location", "")
        raise refusal(host, what, error.status, error.body or error.reason or "", location) from error
    except urllib3.exceptions.HTTPError as error:
        raise _silence(host, what, error, changes=changes) from error
    except EarthloopError:
        raise
    except (TypeError, ValueError) as error:
        raise _puzzle(host, what, error) from error


def refusal(host: str, what: str, status: int, body: object, location: str = "") -> ServerError:
    """Returns the error for an answer that is not 2xx.

    Args:
        host: whom we asked.
        what: the question, after "to".
        status: of HTTP.
        body: bytes or text of the answer.
        location: where a redirect leads.
    """
    said = _words(body)
    if status in _LATER:
        return Unanswered(f"{host} cannot {what} now: HTTP {status}{said}. Wait, and give the command again.")
    if status in _REDIRECTS:
        leads = location.partition("?")[0] or "another page"
        return ServerError(
            f"{host} leads on to {leads} when asked to {what}: HTTP {status}. If that is the same server, give its "
            f"address as --host; if it is a login: {_LOG_IN[0].lower()}{_LOG_IN[1:]}"
        )
    remedy = _NEXT.get(status, "This is the server's own trouble: its log (deployment ml-pipeline) says more.")
    return ServerError(f"{host} refused to {what}: HTTP {status}{said}. {remedy}")


def _silence(host: str, what: str, error: urllib3.exceptions.HTTPError, *, changes: bool) -> ServerError:
    """Returns the error for a question without an answer."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.SSLError):
        return broken_tls(host, what, reason)
    if isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return Unanswered(
            f"{host} cannot be reached to {what}: {_last(reason)}. Look at --host; a cluster is often reached through "
            "`kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` and --host http://localhost:8080."
        )
    unknown = " It is not known whether it was done: look with `earthloop cluster-runs` before you repeat it."
    return Unanswered(f"{host} did not answer when asked to {what}: {_last(reason)}.{unknown if changes else ''}")


def broken_tls(host: str, what: str, error: object) -> ServerError:
    """Returns the error for a server that speaks no TLS, or whose certificate is not trusted."""
    return ServerError(
        f"{host} could not be asked to {what}, as no trusted TLS connection came about: {_last(error)}. "
        "Give the certificate of whoever signed the server's with --ca-file."
    )


def _puzzle(host: str, what: str, error: object) -> ServerError:
    return ServerError(
        f"{host} was asked to {what}, and its answer cannot be read: {error}. It may be another server, or of a "
        f"version that kfp-server-api {kfp_server_api.__version__} does not know."
    )


def _last(error: object) -> str:
    """Returns the part of urllib3's text that a person needs: what is behind the object's address."""
    return str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__


def _words(body: object) -> str:
    """Returns ": " and what the server says, "" where it says nothing or sends a page."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            text = str(found.get("message") or found.get("error") or found.get("error_message") or "")
    text = " ".join(text.split()).rstrip(".")
    if not text or text.startswith("<"):
        return ""
    return f": {text[:_SAID]}{'…' if len(text) > _SAID else ''}"
