"""What is said where an object store cannot be listed; nobody is asked over a network."""

from __future__ import annotations

import threading

import pytest

from applications import remote
from applications.data_fingerprint import fingerprint
from applications.errors import DataPathError, UnknownName


@pytest.fixture
def no_google(monkeypatch):
    """Nobody is logged in, and Google is asked nothing."""
    monkeypatch.setattr(remote, "_has_google_credentials", lambda: False)


@pytest.fixture
def answer(monkeypatch):
    """Puts a function in the place of Beam's listing."""

    def put(function):
        monkeypatch.setattr("apache_beam.io.filesystems.FileSystems.match", function)

    return put


def test_a_scheme_that_nothing_reads_is_told_with_the_near_one():
    with pytest.raises(UnknownName, match=r"no scheme of data 'gss://'; there are: gs://, .* Did you mean 'gs://'"):
        remote.match("gss://bucket/**")


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    told = r"data at 's3://b/\*\*' need the package boto3, which is not installed: pip install 'apache-beam\[aws\]'"
    with pytest.raises(DataPathError, match=told):
        fingerprint("s3://b")


def test_without_credentials_a_silent_store_is_given_up_with_advice(no_google, answer, monkeypatch):
    monkeypatch.setattr(remote, "ANONYMOUS_S", 0.05)
    over = threading.Event()
    answer(lambda _: over.wait())
    told = "no answer within 0.05 s. There are no Google credentials here: run `gcloud auth application-default login`"
    with pytest.raises(DataPathError, match=told):
        remote.match("gs://b/**")
    over.set()


def test_an_open_bucket_needs_no_credentials(no_google, answer):
    from apache_beam.io.filesystem import FileMetadata, MatchResult

    answer(lambda patterns: [MatchResult(patterns[0], [FileMetadata("gs://b/a.jpg", 7)])])
    assert [file.size_in_bytes for file in remote.match("gs://b/**")] == [7]


def test_an_error_of_the_store_becomes_one_sentence(answer, monkeypatch):
    monkeypatch.setattr(remote, "_has_google_credentials", lambda: True)

    def fail(_patterns):
        raise RuntimeError("403 forbidden\nat line 7")

    answer(fail)
    with pytest.raises(DataPathError) as caught:
        remote.match("gs://b/**")
    told = "the data at 'gs://b/**' cannot be listed: RuntimeError: 403 forbidden. Check the address and the access."
    assert str(caught.value) == told
