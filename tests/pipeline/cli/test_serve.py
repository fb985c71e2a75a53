import contextlib
import logging
import os
import pathlib
import re
import socket

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from pipeline.cli import serve as serve_module
from pipeline.cli.serve import config_text
from serving.model_server import server as server_module
from serving.model_server.events import State, VersionStatus


class FakeServer:
    """Knows its options, and tells what a server that runs tells."""

    def __init__(self, options, models):
        self.options, self.names, self.manager = options, models, self
        self.grpc_port, self.rest_port = options.port, options.rest_api_port

    def models(self):
        return self.names

    def status(self, _):
        return [VersionStatus(9, State.AVAILABLE), VersionStatus(8, State.END)]


@pytest.fixture
def served(monkeypatch):
    """What was started: options and the models' configuration. Nothing is."""
    started = []

    def run(options, on_start):
        text = pathlib.Path(options.model_config_file).read_text() if options.model_config_file else ""
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        started.append((options, config))
        on_start(FakeServer(options, [one.name for one in config.model_config_list.config]))

    monkeypatch.setattr(server_module, "run", run)
    monkeypatch.setattr(serve_module, "_check_ports", lambda _: None)  # a server may well run on this machine
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    yield started
    with contextlib.suppress(KeyError):
        del os.environ["TF_CPP_MIN_LOG_LEVEL"]


def test_pushed_models_are_served_and_the_next_step_is_said(earthloop, served):
    folder = pathlib.Path("out/satellite/landcover/serving/satellite-landcover")
    (folder / "9").mkdir(parents=True)
    code, text = earthloop("serve", "satellite/landcover", "--rest-port", 8601)
    assert code == 0
    ((options, config),) = served
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("satellite-landcover", str(folder.absolute()))
    assert (options.port, options.rest_api_port, options.host) == (8500, 8601, "127.0.0.1")
    assert options.enable_grpc_healthcheck_service
    assert not pathlib.Path(options.model_config_file).exists()
    assert f"model satellite-landcover, version 9  ({folder})" in text
    assert "gRPC  127.0.0.1:8500" in text
    assert "curl http://127.0.0.1:8601/v1/models/satellite-landcover" in text
    assert "earthloop ask satellite-landcover FILE… --host 127.0.0.1:8500" in text


def test_flags_after_two_dashes_go_to_the_server_in_both_forms(earthloop, served, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    code, _ = earthloop("serve", tmp_path / "m", "--", "--request_log_dir", "log", "--drain_seconds=3")
    assert code == 0
    ((options, _),) = served
    assert (options.request_log_dir, options.drain_seconds) == ("log", 3)


def test_the_servers_own_flags_may_name_the_model(earthloop, served):
    code, _ = earthloop("serve", "--", "--model_base_path=/models/m", "--model_name=m")
    assert code == 0
    ((options, _),) = served
    assert (options.model_base_path, options.model_name, options.model_config_file) == ("/models/m", "m", "")


def test_an_unknown_flag_is_refused_by_name(earthloop, served, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    code, text = earthloop("serve", tmp_path / "m", "--", "--enable_baching")
    assert code == 2
    assert "enable_baching" in text
    assert "enable_batching" in text
    assert "loading TensorFlow" not in text
    assert not served


@pytest.mark.parametrize(("flag", "said"), [("--help", "--model_base_path"), ("--version", "TensorFlow 2")])
def test_the_server_is_asked_about_itself_without_a_model(earthloop, served, flag, said):
    code, text = earthloop("serve", "--", flag)
    assert (code, said in text) == (0, True)
    assert not served


@pytest.mark.parametrize(("given", "named"), [("--port", "gRPC"), ("--rest-port", "REST")])
def test_a_port_that_is_taken_is_told_before_anything_is_loaded(earthloop, tmp_path, given, named):
    (tmp_path / "m" / "1").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = "--rest-port" if given == "--port" else "--port"
        code, text = earthloop("serve", tmp_path / "m", given, port, free, 0)
    assert code == 1
    assert text == (
        f"Error: {named} must have an address that is free, but 127.0.0.1:{port} cannot be listened on "
        f"(Address already in use). Stop what uses it, or give another {given} (or --host).\n"
    )


def test_what_changes_while_it_serves_is_told(earthloop, served, monkeypatch, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)

    def run(options, on_start):
        log = logging.getLogger("serving.model_server.lifecycle")
        log.info("loading version 1")
        log.warning("version 2 is broken")
        on_start(FakeServer(options, []))
        log.info("loaded version 3")

    monkeypatch.setattr(server_module, "run", run)
    _, text = earthloop("serve", tmp_path / "m")
    assert "version 2 is broken" in text
    assert re.search(r"^\d\d:\d\d:\d\d loaded version 3$", text, re.MULTILINE)
    assert "loading version 1" not in text


def test_addresses_say_that_there_is_tls(earthloop, served, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    _, text = earthloop("serve", tmp_path / "m", "--", "--ssl_config_file=ssl")
    assert "curl https://127.0.0.1:8501/v1/models/m" in text
    assert "earthloop ask m FILE… --host grpcs://127.0.0.1:8500" in text


def test_without_a_pushed_model_the_command_that_makes_one_is_said(earthloop, served):
    code, text = earthloop("serve")
    assert (code, "earthloop run satellite/landcover" in text) == (2, True)


def test_names_and_paths_of_any_letters_are_written_so_that_they_are_read():
    models = {'a "b"': pathlib.Path("/tmp/Wüste\\x"), "c": pathlib.Path("/d\te")}
    config = text_format.Parse(config_text(models), model_server_config_pb2.ModelServerConfig())
    assert {one.name: one.base_path for one in config.model_config_list.config} == {
        name: str(path) for name, path in models.items()
    }
