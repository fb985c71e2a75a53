"""TLS as `--ssl_config_file` describes it, for REST and gRPC."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from applications.errors import ConfigError

if TYPE_CHECKING:
    from serving.model_server.config_files import Tls


HTTP_1, HTTP_2 = "http/1.1", "h2"


def server_context(tls: Tls, protocol: str = HTTP_1) -> ssl.SSLContext:
    """Makes the context of a server that shows its certificate, and asks clients for theirs where they must have one.

    Args:
        tls: what to show and to ask for.
        protocol: what the server speaks.

    Raises:
        ConfigError: key and certificate are no PEM or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        _load_pair(context, tls)
        if tls.is_client_checked:
            context.verify_mode = ssl.CERT_REQUIRED
            if tls.client_authority:
                context.load_verify_locations(cadata=tls.client_authority)
            else:
                context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"server_key, server_cert and custom_ca in --ssl_config_file must be PEM texts that belong together "
            f"({error}). Check them with: openssl x509 -noout -text -in CERTIFICATE"
        ) from error
    context.set_alpn_protocols([protocol])
    return context


def _load_pair(context: ssl.SSLContext, tls: Tls) -> None:
    """Loads key and certificate, which Python's ssl takes from a file alone; nobody else may read that one."""
    handle, name = tempfile.mkstemp(suffix=".pem")
    path = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{tls.key}\n{tls.certificate}\n")
        context.load_cert_chain(path)
    finally:
        path.unlink()
