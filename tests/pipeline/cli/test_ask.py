import json
import pathlib
import re

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
        self.options = options
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
            Answer(name=str(place), reason="not a JPEG")
            if b"bad" in item
            else Answer(name=str(place), label="Forest", score=0.91)
            for place, item in enumerate(items)
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
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return [tmp_path / name for name in names]


def test_labels_are_a_table_for_people(earthloop, client, tmp_path):
    code, text = earthloop("ask", "satellite/landcover", *files(tmp_path, "a.jpg", "b.jpg"))
    assert code == 0
    head, first, second = text.splitlines()
    assert head.split() == ["FILE", "SCORE", "LABEL"]
    assert first.split() == [str(tmp_path / "a.jpg"), "91.0%", "Forest"]
    assert second.index("Forest") == head.index("LABEL") == first.index("Forest")
    assert client.asked[0][0] == "localhost:8500"
    assert client.asked[1][0].name == "satellite-landcover"


def test_a_file_without_a_label_has_its_reason_and_exit_code_1(earthloop, client, tmp_path):
    code, text = earthloop("ask", "m", *files(tmp_path, "a.jpg", "bad.jpg"))
    assert code == 1
    assert text.splitlines()[2].endswith("       –  not a JPEG")


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
        (["--host", "far"], "far:8500"),
        (["--rest", "--host", "far"], "http://far:8501"),
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


def test_what_is_not_there_is_said_before_anyone_is_asked(earthloop, client, tmp_path):
    code, text = earthloop("ask", "m", *files(tmp_path, "a.jpg"), tmp_path / "no.jpg")
    assert code == 1
    assert f"every FILE must be there, but {tmp_path / 'no.jpg'} is not" in text
    assert not client.asked


def test_of_a_folder_images_and_sounds_are_asked_about_and_nothing_else(earthloop, client, tmp_path):
    names = ["d/b.JPG", "d/e/a.png", "d/notes.txt", "d/.hidden.jpg", "d/call.wav"]
    (tmp_path / "d" / "e").mkdir(parents=True)
    files(tmp_path, *names)
    code, text = earthloop("ask", "m", tmp_path / "d")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()[1:]] == [
        str(tmp_path / name) for name in ("d/b.JPG", "d/call.wav", "d/e/a.png")
    ]


def test_a_folder_without_images_is_refused(earthloop, client, tmp_path):
    files(tmp_path, "d/notes.txt")
    code, text = earthloop("ask", "m", tmp_path / "d")
    assert code == 1
    assert f"must have images or sounds in it (.flac, .jpeg, .jpg, .mp3, .ogg, .png, .wav), but {tmp_path}/d" in text


def test_many_files_are_asked_in_parts_and_what_was_answered_before_an_error_is_printed(
    earthloop, client, tmp_path, monkeypatch
):
    paths = files(tmp_path, *[f"{place}.jpg" for place in range(40)])

    class Failing(client):
        def ask(self, model, items):
            self.error = ClientError(Code.UNAVAILABLE, "gone") if len(self.asked) > 1 else None
            return super().ask(model, items)

    monkeypatch.setattr(serving.client, "Client", Failing)
    code, text = earthloop("ask", "m", *paths)
    assert code == 1
    assert [len(items) for _, items in client.asked[1:]] == [32, 8]
    assert len([line for line in text.splitlines() if "Forest" in line]) == 32
    assert text.splitlines()[-1].startswith("Error: UNAVAILABLE: gone")


def test_a_file_that_cannot_be_read_costs_its_own_label_alone(earthloop, client, tmp_path, monkeypatch):
    first, second, third = files(tmp_path, "a.jpg", "b.jpg", "bad.jpg")
    read = pathlib.Path.read_bytes

    def refuse(path):
        if path == first:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    code, text = earthloop("ask", "m", first, second, third, "--json")
    found = {one["file"]: one["label"] or one["reason"] for one in map(json.loads, text.splitlines())}
    assert code == 1
    assert found == {
        str(first): "cannot be read: Permission denied",
        str(second): "Forest",
        str(third): "not a JPEG",
    }


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"height,site\n", "a table must have a header line and rows"),
        (b"height,site\n1,a\n2\n", "as many fields as its header, 2, but row 2 of .* has 1"),
        ("höhe\n1\n".encode("latin-1"), "a table must be CSV in UTF-8"),
    ],
)
def test_a_table_that_is_none_is_refused_in_a_sentence(earthloop, client, tmp_path, contents, said):
    (tmp_path / "t.csv").write_bytes(contents)
    code, text = earthloop("ask", "m", tmp_path / "t.csv")
    assert code == 1
    assert re.search(said, text)


def test_a_name_that_no_server_knows_brings_the_one_like_it(earthloop, client, tmp_path):
    client.error = ClientError(Code.NOT_FOUND, "Servable not found for request: Latest(satelite-landcover)")
    code, text = earthloop("ask", "satelite-landcover", *files(tmp_path, "a.jpg"))
    assert code == 1
    assert text == (
        "Error: NOT_FOUND: Servable not found for request: Latest(satelite-landcover). "
        "Did you mean 'satellite-landcover'?\n"
    )
    _, text = earthloop("ask", "satellite-landcover", tmp_path / "a.jpg")
    assert text.endswith("/v1/models/NAME on its REST port lists versions.\n")


def test_a_token_file_that_is_not_there_and_a_time_of_nothing_are_bad_usage(earthloop, client, tmp_path):
    (item,) = files(tmp_path, "a.jpg")
    code, text = earthloop("ask", "m", item, "--token-file", tmp_path / "no")
    assert (code, "does not exist" in text) == (2, True)
    code, text = earthloop("ask", "m", item, "--timeout", 0)
    assert (code, "0" in text and "range" in text) == (2, True)
    assert not client.asked
