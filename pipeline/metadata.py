"""Where ML Metadata keeps lineage: SQLite in the output folder, or a PostgreSQL or MySQL server."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from applications.errors import ConfigError
from applications.settings import MetadataSettings

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore
    from ml_metadata.proto import metadata_store_pb2

_USUAL_PORT = {"postgresql": 5432, "mysql": 3306}
_ANSWER_S = 5.0  # seconds a server may take to answer


def check(settings: MetadataSettings) -> None:
    """Checks beforehand what can be: that the password can be read and that a server answers.

    Raises:
        ConfigError: the password file cannot be read, or nothing answers at the address.
    """
    if settings.backend == "sqlite":
        return
    _password(settings)
    if settings.host.startswith("/"):  # the folder of a Unix socket
        return
    port = settings.port or _USUAL_PORT[settings.backend]
    try:
        with contextlib.closing(socket.create_connection((settings.host, port), timeout=_ANSWER_S)):
            return
    except OSError as error:
        raise ConfigError(
            f"metadata.backend={settings.backend} needs a server at {settings.host}:{port}, but none answers "
            f"({error.strerror or error}). Start it, or mend metadata.host and metadata.port."
        ) from error


def open_store(connection: metadata_store_pb2.ConnectionConfig) -> MetadataStore:
    """Opens the metadata store.

    Raises:
        ConfigError: a server refuses the connection.
    """
    from ml_metadata.metadata_store import MetadataStore

    try:
        return MetadataStore(connection)
    except RuntimeError as error:
        kind = connection.WhichOneof("config")
        if kind == "sqlite":
            raise
        raise ConfigError(
            f"the {kind} server refuses the connection ({str(error).strip()}). Check metadata.user, metadata.database "
            "and metadata.password_file; the server's own log says which of them is wrong."
        ) from error


def connection_config(settings: MetadataSettings, out: Path) -> metadata_store_pb2.ConnectionConfig:
    """Builds the connection to the metadata store.

    Args:
        settings: backend and address; the password is read from `settings.password_file`.
        out: the output folder, where SQLite's file is kept.

    Raises:
        ConfigError: the password file cannot be read.
    """
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    if settings.backend == "sqlite":
        config.sqlite.filename_uri = str(out / "metadata.sqlite")
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    port = settings.port or _USUAL_PORT[settings.backend]
    if settings.backend == "postgresql":
        config.postgresql.host = quoted(settings.host)
        config.postgresql.port = str(port)
        config.postgresql.user = quoted(settings.user)
        config.postgresql.password = quoted(_password(settings))
        config.postgresql.dbname = settings.database
    else:
        config.mysql.host = settings.host
        config.mysql.port = port
        config.mysql.user = settings.user
        config.mysql.password = _password(settings)
        config.mysql.database = settings.database
    return config


def quoted(word: str) -> str:
    """Returns a word fit for libpq's connection string, into which ML Metadata puts host, user and password as given.

    A word that needs no quotes comes back as it is.
    """
    if word and not set(word) & set(" \t\n'\\"):
        return word
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _password(settings: MetadataSettings) -> str:
    if not settings.password_file:
        return ""
    try:
        return Path(settings.password_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"metadata.password_file must be a readable file, got {settings.password_file!r}: {error.strerror}."
        ) from error
