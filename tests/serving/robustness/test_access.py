"""Who may ask, from where, and for what: addresses, TLS, tokens and names of models, on a server as it is started."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, predict_pb2

from serving.model_server import main as model_server
from tests.serving.model_server.test_tls import Authority, client_context
from tests.serving.robustness.servers import Process, Wire, ask, get, models_file, post, predict_request

pytestmark = pytest.mark.slow

GOOD = post("/v1/models/half:predict", b'{"instances": [2.0]}')
ANSWER = (200, b'{"predictions": [4.0]}')
TOKEN, OTHER = "a-token-of-enough-letters", "another-token-of-enough"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture
def one_model(half_plus_two):
    """Flags for it."""
    return "--model_name=half", f"--model_base_path={half_plus_two}"


def test_nobody_beyond_this_machine_is_listened_to_unless_that_is_asked_for(one_model, tmp_path):
    with Process(tmp_path, *one_model) as process:
        assert _addresses(process.listening()) == {("127.0.0.1", process.port), ("127.0.0.1", process.grpc_port)}
    with Process(tmp_path, *one_model, "--host=0.0.0.0") as process:
        assert {host for host, _ in _addresses(process.listening())} <= {"0.0.0.0", "::"}


@pytest.mark.parametrize("is_mutual", [False, True])
def test_tls_of_both_transports_asks_for_a_certificate_where_it_is_mutual(one_model, tmp_path, is_mutual):
    authority = Authority("tests")
    known, stranger = authority.issue("client"), Authority("another").issue("client")
    flag = _ssl_flag(tmp_path, authority, is_mutual=is_mutual)
    with Process(tmp_path, *one_model, flag) as process:
        process.listening()
        assert _over_tls(process.port, client_context(authority, tmp_path, known)) == ANSWER
        assert _by_grpc(process, authority, known) == 4.0
        if is_mutual:
            for identity in (None, stranger):
                with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
                    _over_tls(process.port, client_context(authority, tmp_path, identity))
                with pytest.raises(grpc.RpcError) as error:
                    _by_grpc(process, authority, identity)
                assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        else:
            assert _over_tls(process.port, client_context(authority, tmp_path)) == ANSWER
            assert _by_grpc(process, authority, None) == 4.0
        with pytest.raises((EOFError, ConnectionError)):  # no TLS at all
            ask(process.port, GOOD)
        assert process.terminate() == 0


def test_handshakes_that_do_not_go_on_are_ended_and_others_are_answered(one_model, tmp_path):
    authority = Authority("tests")
    with Process(tmp_path, *one_model, _ssl_flag(tmp_path, authority, is_mutual=False)) as process:
        process.listening()
        silent = [Wire(process.port) for _ in range(200)]
        for number, wire in enumerate(silent):
            wire.socket.sendall((b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n")[number % 3])
        assert _over_tls(process.port, client_context(authority, tmp_path)) == ANSWER
        for wire in silent:
            assert wire.answers_to_the_end() == []
            wire.socket.close()
        assert _over_tls(process.port, client_context(authority, tmp_path)) == ANSWER


def test_without_a_token_of_the_file_nobody_is_answered(one_model, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# for tests\n{OTHER}\n{TOKEN}\n", encoding="ascii")
    wrong = (None, "", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xe9" * 9)
    with Process(
        tmp_path, *one_model, f"--bearer_tokens_file={tokens}", "--enable_grpc_healthcheck_service"
    ) as process:
        process.listening()
        for shown in wrong:
            header = () if shown is None else (f"Authorization: {shown}",)
            for request in (
                post("/v1/models/half:predict", b'{"instances": [2.0]}', *header),
                get("/v1/models/half", *header),
                get("/monitoring/prometheus/metrics", *header),
                get("/v1/models/none", *header),
            ):
                status, body = ask(process.port, request)
                assert (status, "a bearer token is needed" in json.loads(body)["error"]) == (401, True), (
                    shown,
                    request,
                )
            if shown is None or shown.isascii():
                assert _code_of_grpc(process, shown) is grpc.StatusCode.UNAUTHENTICATED, shown
        for token in (TOKEN, OTHER):
            shown = f"Bearer {token}"
            data = post("/v1/models/half:predict", b'{"instances": [2.0]}', f"Authorization: {shown}")
            assert ask(process.port, data) == ANSWER
            assert _code_of_grpc(process, shown) is grpc.StatusCode.OK
        assert ask(process.port, get("/healthz"))[0] == ask(process.port, get("/readyz"))[0] == 200
    assert TOKEN not in process.words()


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc", "..%5c..", "%2fetc%2fpasswd",
     "half%2f..%2fhalf", "half%00", "%c0%ae%c0%ae", "....", "half%2fversions%2f1", ".%2fhalf", "half\\..",
     "file:%2f%2f%2fetc"],
)  # fmt: skip
def test_a_name_in_a_path_is_a_name_and_no_path(server, name):
    for request in (
        post(f"/v1/models/{name}:predict", b'{"instances": [2.0]}'),
        get(f"/v1/models/{name}"),
        get(f"/v1/models/{name}/metadata"),
        get(f"/v1/models/half/versions/{name}"),
    ):
        status, body = ask(server.port, request)
        assert status in {400, 404}, (request, status, body)
        assert b"root:" not in body


@pytest.mark.parametrize("name", ["..", "../half", "/etc", "a\\\\b", ""])
def test_a_configuration_with_a_name_that_is_a_path_is_refused_at_the_start_and_later(
    server, half_plus_two, name, tmp_path, capfd
):
    config = models_file(tmp_path / "models", {name: half_plus_two})
    assert model_server.main([config, "--port=0", "--rest_api_port=1"]) == 1
    assert "a model name must be 1 to 200 bytes" in capfd.readouterr().err
    request = model_management_pb2.ReloadConfigRequest()
    name = name.replace("\\\\", "\\")
    request.config.model_config_list.config.add(name=name, base_path=str(half_plus_two), model_platform="tensorflow")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
        try:
            answer = model_management_pb2.ReloadConfigResponse.FromString(call(request.SerializeToString(), timeout=20))
            code, words = answer.status.error_code, answer.status.error_message
        except grpc.RpcError as error:
            code, words = error.code().value[0], error.details()
    assert code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "a model name must be 1 to 200 bytes" in words
    assert ask(server.port, GOOD) == ANSWER


def _addresses(process: Process) -> set[tuple[str, int]]:
    """Reads from the system where the process listens."""
    ours = set()
    for handle in Path(f"/proc/{process.process.pid}/fd").iterdir():
        try:
            ours.add(str(handle.readlink()))
        except FileNotFoundError:
            continue
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{process.process.pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in ours:
                address, port = local.split(":")
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                host = socket.inet_ntop(family, b"".join(words)).removeprefix("::ffff:")  # IPv4 on a socket of IPv6
                found.add((host, int(port, 16)))
    return found


def _ssl_flag(folder: Path, authority: Authority, *, is_mutual: bool) -> str:
    key, certificate = authority.issue("localhost")
    lines = [f"server_key: {key!r}", f"server_cert: {certificate!r}"]
    if is_mutual:
        lines += [f"custom_ca: {authority.pem!r}", "client_verify: true"]
    (folder / "ssl").write_text("\n".join(lines), encoding="ascii")
    return f"--ssl_config_file={folder / 'ssl'}"


def _over_tls(port: int, context: ssl.SSLContext) -> tuple[int, bytes]:
    with Wire(port) as wire:
        wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")
        return wire.ask(GOOD)


def _by_grpc(process: Process, authority: Authority, identity: tuple[str, str] | None) -> float:
    key, certificate = (part.encode() for part in identity) if identity else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.pem.encode(), key, certificate)
    with grpc.secure_channel(f"localhost:{process.grpc_port}", credentials) as channel:
        answer = channel.unary_unary(_PREDICT)(predict_request("half"), timeout=20)
    return predict_pb2.PredictResponse.FromString(answer).outputs["y"].float_val[0]


def _code_of_grpc(process: Process, shown: str | None) -> grpc.StatusCode:
    metadata = () if shown is None else (("authorization", shown),)
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        return channel.unary_unary(_PREDICT).future(predict_request("half"), timeout=20, metadata=metadata).code()
