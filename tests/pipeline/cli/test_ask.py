import json

import pytest

import serving.client
from serving.client import Answer, ClientError
from serving.client.errors import START
from serving.model_server.errors import Code


class FakeClient:
    """Labels everything a forest but what has `bad` in its name; remembers what it was asked."""

    asked: list = []  # noqa: RUF012 - each test has a class of its own
    error = None

    def __init__(self, target, options):
        self.asked.append((target, options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def ask(self, model, items):
        self.asked.append((model, items))
        if self.error:
            raise self.error
        return [
            Answer(name=str(item), reason="not a JPEG")
            if "bad" in item.name
            else Answer(name=str(item), label="Forest", score=0.91)
            for item in items
        ]

    def ask_table(self, model, columns):
        self.asked.append((model, columns))
        return [Answer(name=str(row), value=float(row)) for row in range(len(next(iter(columns.values()))))]


@pytest.fixture
def client(monkeypatch):
    fake = type("Fake", (FakeClient,), {"asked": [], "error": None})
    monkeypatch.setattr(serving.client, "Client", fake)
    return fake


def files(tmp_path, *names):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    return [tmp_path / name for name in names]


def test_labels_are_a_table_for_people(earthloop, client, tmp_path):
    code, text = earthloop("ask", "satellite/landcover", *files(tmp_path, "a.jpg", "b.jpg"))
    assert code == 0
    head, first, second = text.splitlines()
    assert head.split() == ["FILE", "LABEL", "SCORE"]
    assert first.split() == [str(tmp_path / "a.jpg"), "Forest", "91.0%"]
    assert second.index("Forest") == head.index("LABEL") == first.index("Forest")
    assert client.asked[0][0] == "localhost:8500"
    assert client.asked[1][0].name == "satellite-landcover"


def test_a_file_without_a_label_has_its_reason_and_exit_code_1(earthloop, client, tmp_path):
    code, text = earthloop("ask", "m", *files(tmp_path, "a.jpg", "bad.jpg"))
    assert code == 1
    assert text.splitlines()[2].endswith("–       not a JPEG")


def test_programs_get_a_json_object_per_file(earthloop, client, tmp_path):
    code, text = earthloop("ask", "m", *files(tmp_path, "bad.jpg", "a.jpg"), "--json")
    first, second = (json.loads(line) for line in text.splitlines())
    assert code == 1
    assert (first["file"], first["label"], first["reason"]) == (str(tmp_path / "bad.jpg"), "", "not a JPEG")
    assert (second["label"], second["score"], second["value"]) == ("Forest", 0.91, None)


def test_a_table_is_asked_row_by_row_and_numbers_are_numbers(earthloop, client, tmp_path):
    (tmp_path / "t.csv").write_text("height,site\n1.5,a\n2,b\n")
    code, text = earthloop("ask", "m", tmp_path / "t.csv")
    assert code == 0
    assert client.asked[1][1] == {"height": [1.5, 2.0], "site": ["a", "b"]}
    assert [line.split() for line in text.splitlines()[1:]] == [
        [f"{tmp_path}/t.csv:1", "0"],
        [f"{tmp_path}/t.csv:2", "1"],
    ]


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (["--rest"], "http://localhost:8501"),
        (["--rest", "--host", "far:80"], "http://far:80"),
        (["--host", "https://far"], "https://far"),
        (["--host", "far:1"], "far:1"),
    ],
)
def test_the_address_says_where_and_how(earthloop, client, tmp_path, words, target):
    earthloop("ask", "m", *files(tmp_path, "a.jpg"), *words)
    assert client.asked[0][0] == target


def test_version_label_token_and_timeout_are_given_on(earthloop, client, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    (item,) = files(tmp_path, "a.jpg")
    earthloop("ask", "m", item, "--version", 3, "--token-file", tmp_path / "token", "--timeout", 5)
    (_, options), (model, _) = client.asked
    assert (model.version, model.label, options.token, options.timeout_s) == (3, "", "secret", 5.0)
    code, text = earthloop("ask", "m", item, "--version", 3, "--label", "canary")
    assert (code, "exclude each other" in text) == (2, True)


def test_a_server_that_cannot_be_reached_is_exit_code_1_and_a_sentence(earthloop, client, tmp_path):
    client.error = ClientError(Code.UNAVAILABLE, "localhost:8500 cannot be reached", next_step=START)
    code, text = earthloop("ask", "m", *files(tmp_path, "a.jpg"))
    assert code == 1
    assert text == (
        "Error: UNAVAILABLE: localhost:8500 cannot be reached. Start a server with `earthloop serve`, "
        "or give its address.\n"
    )


def test_what_is_no_file_is_said_before_anyone_is_asked(earthloop, client, tmp_path):
    code, text = earthloop("ask", "m", tmp_path, tmp_path / "no.jpg")
    assert code == 1
    assert f"{tmp_path} is a folder (and 1 more)" in text
    assert not client.asked
