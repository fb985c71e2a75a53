"""Lists files of object stores through Beam's file systems; where it cannot, a sentence says what is missing."""

from __future__ import annotations

import importlib.util
import logging
import threading
from typing import TYPE_CHECKING, Any

from applications.errors import DataPathError, UnknownName

if TYPE_CHECKING:
    from apache_beam.io.filesystem import FileMetadata

ANONYMOUS_S = 10.0  # seconds that a store is given to answer somebody without a name; its library would try for minutes
_NEEDS = {  # scheme: package that Beam needs for it, and Beam's extra that has it
    "gs": ("google.cloud.storage", "gcp"),
    "s3": ("boto3", "aws"),
    "hdfs": ("hdfs", "hadoop"),
    "azfs": ("azure.storage.blob", "azure"),
}

_NO_GOOGLE = (
    "There are no Google credentials here: run `gcloud auth application-default login`, or let "
    "GOOGLE_APPLICATION_CREDENTIALS name a key file."
)


def match(pattern: str) -> list[FileMetadata]:
    """Lists the files that match.

    Args:
        pattern: URI with wildcards, such as `gs://bucket/chips/**`.

    Returns:
        Beam's `FileMetadata` of each: `path`, `size_in_bytes`, `last_updated_in_seconds`.

    Raises:
        UnknownName: no file system has that scheme.
        DataPathError: a package or credentials are missing, or the store does not answer.
    """
    scheme = pattern.partition("://")[0]
    _check_package(scheme, pattern)
    is_anonymous = scheme == "gs" and not _has_google_credentials()
    try:
        return _within(pattern, ANONYMOUS_S) if is_anonymous else _matched(pattern)
    except Exception as error:
        who = _NO_GOOGLE if is_anonymous else "Check the address and the access."
        why = str(error).partition("\n")[0]
        raise DataPathError(
            f"the data at {pattern!r} cannot be listed: {type(error).__name__}: {why}. {who}"
        ) from error


def _check_package(scheme: str, pattern: str) -> None:
    if scheme not in _NEEDS:
        raise UnknownName("scheme of data", f"{scheme}://", [f"{known}://" for known in _NEEDS])
    package, extra = _NEEDS[scheme]
    try:
        is_there = importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package above it is missing
        is_there = False
    if not is_there:
        raise DataPathError(
            f"data at {pattern!r} need the package {package}, which is not installed: "
            f"pip install 'apache-beam[{extra}]'. Or copy the data to a folder."
        )


def _has_google_credentials() -> bool:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        google.auth.default()
    except DefaultCredentialsError:
        return False
    return True


def _matched(pattern: str) -> list[FileMetadata]:
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    if getattr(FileSystems, "_pipeline_options", None) is None:  # no pipeline was made yet; S3 needs some
        FileSystems.set_options(PipelineOptions([]))
    found: list[FileMetadata] = FileSystems.match([pattern])[0].metadata_list
    return found


def _within(pattern: str, seconds: float) -> list[FileMetadata]:
    """Lists files, or gives up in time."""
    outcome: dict[str, Any] = {}

    def work() -> None:
        """Keeps the answer or the error."""
        try:
            outcome["found"] = _matched(pattern)
        except Exception as error:  # raised again below, in the thread that asks
            outcome["error"] = error

    for name in ("apache_beam.internal.gcp.auth", "apache_beam.utils.retry"):  # say at length what we say shortly
        logging.getLogger(name).setLevel(logging.ERROR)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if "error" in outcome:
        raise outcome["error"]
    if "found" not in outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    found: list[FileMetadata] = outcome["found"]
    return found
