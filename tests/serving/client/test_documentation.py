"""What docs/clients.md prints is typed here as it stands, against a small embedded server.

Its addresses alone are others: those of the page may be taken on this machine, or are no machine at all.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess

import pytest

from pipeline.cli.main import main
from serving.client import asynchronous, synchronous
from serving.model_server.server_options import ServerOptions
from tests.serving.client import first_letter
from tests.serving.client.in_thread import start
from tests.serving.model_server.test_tls import Authority

MODEL, VERSION, TOKEN = "satellite-landcover", 1795232700, "a-token-of-enough-letters"


@pytest.fixture(scope="module")
def page(project):
    return (project / "docs" / "clients.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / MODEL
    first_letter.save(folder / str(VERSION))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder of a reader who has the files that the page names."""
    (tmp_path / "chips").mkdir()
    for name, contents in {"chip.jpg": b"F", "other.jpg": b"?", "chips/a.jpg": b"F", "chips/b.jpg": b"F"}.items():
        (tmp_path / name).write_bytes(contents)
    (tmp_path / "token").write_text(TOKEN + "\n", encoding="utf-8")
    (tmp_path / "token").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(here, base_path):
    """The server of the page: `earthloop serve -- --request_log_dir=requests`."""
    options = ServerOptions(model_name=MODEL, model_base_path=str(base_path), request_log_dir="requests")
    running, stop = start(options)
    running.stop_for_test = stop
    yield running
    stop()


@pytest.fixture
def secure_server(here, base_path):
    """The server `station`, with TLS and a token."""
    authority = Authority("authority")
    key, certificate = authority.issue("station")
    (here / "ca.pem").write_text(authority.pem, encoding="ascii")
    (here / "ssl").write_text(f"server_key: {json.dumps(key)} server_cert: {json.dumps(certificate)}", encoding="ascii")
    options = ServerOptions(
        model_name=MODEL, model_base_path=str(base_path), ssl_config_file="ssl", bearer_tokens_file="token"
    )
    running, stop = start(options)
    yield running
    stop()


def lead(monkeypatch, addresses):
    """Has clients that are given an address go to another."""
    for module, name in ((synchronous, "connect"), (asynchronous, "connect_async")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda target, options, real=real: real(addresses[target], options))


def test_each_python_example_runs_as_it_is_printed(page, server, secure_server, monkeypatch, capsys):
    grpc, rest = f"localhost:{server.grpc_port}", f"http://localhost:{server.rest_port}"
    station = f"grpcs://localhost:{secure_server.grpc_port}"
    lead(monkeypatch, {"localhost:8500": grpc, "http://localhost:8501": rest, "grpcs://station:8500": station})
    said = []
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if "read_requests" in block:
            server.stop_for_test()  # which completes the files of its log
        exec(compile(block, "docs/clients.md", "exec"), {"__name__": "__main__"})
        said.append(capsys.readouterr().out)
    plain, awaited, secure, named, joined = said
    assert plain == "chip.jpg Forest 0.75\nother.jpg not an image 0.0\n"
    assert awaited == "chips/a.jpg Forest\nchips/b.jpg Forest\n"
    assert secure == f"[{VERSION}]\n"
    assert named == ""
    assert "'id': 'camera-7-0', 'label': 'Forest', 'true_label': 'River'" in joined


def test_each_line_that_asks_does_so(page, server, monkeypatch, capsys):
    grpc, rest = f"localhost:{server.grpc_port}", f"http://localhost:{server.rest_port}"
    lead(monkeypatch, {"localhost:8500": grpc, "http://station:8501": rest})
    lines = re.findall(r"^earthloop (ask .*)$", page, re.MULTILINE)
    said = []
    for line in lines:
        words = shlex.split(line.partition(">")[0], comments=True)
        code = main(words)
        said.append((code, capsys.readouterr().out.splitlines()))
    two, folder, as_json, by_rest = said
    assert two == (1, ["FILE        SCORE  LABEL", "chip.jpg    75.0%  Forest", "other.jpg       –  not an image"])
    assert (folder[0], len(folder[1])) == (0, 3)
    assert [json.loads(line)["file"] for line in as_json[1]] == ["chips/a.jpg", "chips/b.jpg"]
    assert by_rest == (0, ["FILE       SCORE  LABEL", "chip.jpg   75.0%  Forest"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_each_line_of_curl_is_answered(page, server, here):
    (block,) = re.findall(r"^## curl\n\n```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    script = block.replace("localhost:8501", f"localhost:{server.rest_port}").replace("curl ", "curl -sS --fail ")
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    decoder, text, found = json.JSONDecoder(), done.stdout, []
    while text.strip():
        answer, end = decoder.raw_decode(text.lstrip())
        found.append(answer)
        text = text.lstrip()[end:]
    status, metadata, by_rows, by_columns = found
    assert status["model_version_status"][0]["version"] == str(VERSION)
    assert "predict_image" in metadata["metadata"]["signature_def"]["signature_def"]
    assert by_rows["predictions"][0]["label"] == by_columns["outputs"]["label"][0] == "Forest"
