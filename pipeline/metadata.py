"""Where ML Metadata keeps lineage: SQLite in the output folder, or a PostgreSQL or MySQL server."""

from __future__ import annotations

from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from applications.errors import ConfigError
from applications.settings import MetadataSettings

_USUAL_PORT = {"postgresql": 5432, "mysql": 3306}


def connection_config(settings: MetadataSettings, out: Path) -> metadata_store_pb2.ConnectionConfig:
    """Builds the connection to the metadata store.

    Args:
        settings: backend and address; the password is read from `settings.password_file`.
        out: the output folder, where SQLite's file is kept.

    Raises:
        ConfigError: the password file cannot be read.
    """
    config = metadata_store_pb2.ConnectionConfig()
    if settings.backend == "sqlite":
        config.sqlite.filename_uri = str(out / "metadata.sqlite")
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    port = settings.port or _USUAL_PORT[settings.backend]
    if settings.backend == "postgresql":
        config.postgresql.host = settings.host
        config.postgresql.port = str(port)
        config.postgresql.user = settings.user
        config.postgresql.password = _password(settings)
        config.postgresql.dbname = settings.database
    else:
        config.mysql.host = settings.host
        config.mysql.port = port
        config.mysql.user = settings.user
        config.mysql.password = _password(settings)
        config.mysql.database = settings.database
    return config


def _password(settings: MetadataSettings) -> str:
    if not settings.password_file:
        return ""
    try:
        return Path(settings.password_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"metadata.password_file must be a readable file, got {settings.password_file!r}: {error.strerror}."
        ) from error
