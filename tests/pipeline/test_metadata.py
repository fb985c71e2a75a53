from __future__ import annotations

import socket

import pytest

from applications.errors import ConfigError
from applications.settings import MetadataSettings
from pipeline import metadata


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_sqlite_needs_no_server():
    metadata.check(MetadataSettings())


def test_a_server_that_answers_is_enough_beforehand(server):
    metadata.check(MetadataSettings(backend="postgresql", host="127.0.0.1", port=server))
    metadata.check(MetadataSettings(backend="postgresql", host="/var/run/postgresql"))


def test_no_server_is_told_with_its_address():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    words = rf"needs a server at 127.0.0.1:{port}, but none answers \(Connection refused"
    with pytest.raises(ConfigError, match=words):
        metadata.check(MetadataSettings(backend="mysql", host="127.0.0.1", port=port))


def test_a_password_file_that_is_missing_is_told_beforehand(tmp_path):
    with pytest.raises(ConfigError, match=r"metadata.password_file must be a readable file, got .*nowhere.*No such"):
        metadata.check(MetadataSettings(backend="mysql", password_file=str(tmp_path / "nowhere")))


def test_the_password_is_what_the_file_holds_without_its_line_end(tmp_path):
    (tmp_path / "word").write_text("secret word\n")
    settings = MetadataSettings(backend="postgresql", host="db", password_file=str(tmp_path / "word"))
    found = metadata.connection_config(settings, tmp_path).postgresql
    assert (found.host, found.port, found.dbname, found.user) == ("db", "5432", "earthloop", "earthloop")
    assert found.password == "'secret word'"  # as libpq wants it where there is a blank


@pytest.mark.parametrize(
    ("word", "expected"), [("plain", "plain"), ("", "''"), ("a b", "'a b'"), ("o'b\\c", "'o\\'b\\\\c'"), ("ä=1", "ä=1")]
)
def test_words_are_quoted_as_libpq_reads_them(word, expected):
    assert metadata.quoted(word) == expected


def test_a_database_is_named_by_a_plain_word():
    with pytest.raises(ConfigError, match=r"metadata.database must be letters, digits, _ and -, got 'a\\\\b; --'"):
        MetadataSettings(database="a\\b; --")


def test_a_server_that_hangs_up_is_told_with_what_to_check(server):
    settings = MetadataSettings(backend="postgresql", host="127.0.0.1", port=1)
    with pytest.raises(ConfigError, match=r"the postgresql server refuses the connection .*metadata.password_file"):
        metadata.open_store(metadata.connection_config(settings, None))
