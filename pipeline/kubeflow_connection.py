"""`kfp.Client` with time limits, with patience where a question may be repeated, and without what it does unasked."""

from __future__ import annotations

import pathlib
import urllib.parse
import warnings
from typing import Any

import kfp
import kfp_server_api
import urllib3
from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials
from kfp_server_api.rest import RESTClientObject

from pipeline import kubeflow_auth
from pipeline.kubeflow_auth import Login

CONNECT_S, ANSWER_S = 10, 120  # seconds; a run's creation compiles the pipeline for Argo
BACKOFF_S = 0.5  # seconds of the second pause, doubled by each further one; the first has none
_RETRIES, _RECONNECTS = 4, 2
_LATER = (429, 502, 503, 504)


class _TimedRest(RESTClientObject):
    """Waits for no answer for ever."""

    def request(self, method: str, url: str, **rest: Any) -> Any:
        """Sends one question; `rest` is what kfp_server_api makes of it."""
        rest["_request_timeout"] = rest.get("_request_timeout") or (CONNECT_S, ANSWER_S)
        return super().request(method, url, **rest)


class Client(kfp.Client):
    """`kfp.Client` without what it does unasked."""

    _LOCAL_KFP_CONTEXT = ""  # no cookies and namespaces that kfp's own command line has left behind

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """Keeps the constructor from asking, five times and without a time limit."""
        del sleep_duration
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=False)

    def be_patient(self) -> None:
        """Sets time limits, and repeats what may be repeated."""
        api = self._healthz_api.api_client  # all services share it
        api.configuration.retries = urllib3.Retry(
            total=_RETRIES,
            read=1,  # an answer may take two minutes
            connect=_RECONNECTS,
            other=_RECONNECTS,  # also a refused connection; none of these has sent anything, so of any method
            redirect=False,  # a redirect leads to a login page; its text is no answer
            status_forcelist=_LATER,
            allowed_methods=["GET"],
            backoff_factor=BACKOFF_S,
            raise_on_status=False,
        )
        api.rest_client = _TimedRest(api.configuration)

    def healthy(self) -> Any:
        """Returns the server's health, None where something else answers."""
        found = self._healthz_api.healthz_service_get_healthz()
        kind = self._healthz_api.api_client.last_response.urllib3_response.headers.get("content-type", "")
        return found if "json" in kind else None

    def artifact_uri(self, artifact_id: str) -> str:
        """Returns an artifact's URI. Servers with an own store of artifacts know it; the models of kfp do not yet."""
        found = self._healthz_api.api_client.call_api(
            "/apis/v2beta1/artifacts/{artifact_id}",
            "GET",
            path_params={"artifact_id": artifact_id},
            response_type="object",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
        )
        return str(found.get("uri", "")) if isinstance(found, dict) else ""

    def text(self, path: str, query: dict[str, str]) -> tuple[str, str]:
        """Returns content type and text of any answer."""
        api = self._healthz_api.api_client
        headers = {**api.default_headers, **({"Cookie": api.cookie} if api.cookie else {})}
        api.update_params_for_auth(headers, [], ["Bearer"])
        url = f"{api.configuration.host}{urllib.parse.quote(path)}"
        found = api.rest_client.GET(url, headers=headers, query_params=query)
        return found.getheader("content-type") or "", found.data.decode("utf-8", "replace")


def connect(host: str, ca_file: pathlib.Path | None, login: Login) -> Client:
    """Makes a client for a server, which is asked nothing yet unless the login is a step of its own.

    Args:
        host: URL of the pipelines' API.
        ca_file: certificates to trust in place of those of common authorities.
        login: who asks.

    Raises:
        ConfigError: a file of secrets cannot be read.
        ServerError: the login does not come about.
    """
    certificates = str(ca_file) if ca_file else None
    cookie = kubeflow_auth.dex_cookie(host, login, ca_file) if login.user else None
    volume = ServiceAccountTokenVolumeCredentials(str(login.token_file)) if login.token_file else None
    if login.token_file:
        kubeflow_auth.secret(login.token_file, "the token's file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kfp tells everybody that it is version 2
        client = Client(
            host, existing_token=login.token or None, credentials=volume, cookies=cookie, ssl_ca_cert=certificates
        )
    client.be_patient()
    return client
