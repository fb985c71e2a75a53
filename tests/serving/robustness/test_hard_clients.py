"""Clients that are slow, rude or enormous: others are answered meanwhile, and the server is as before afterwards."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2

from tests.serving.robustness.servers import Process, Wire, ask, get, models_file, post

pytestmark = pytest.mark.slow

GOOD = post("/v1/models/half:predict", b'{"instances": [2.0]}')
ANSWER = (200, b'{"predictions": [4.0]}')
MB = 1_000_000
_HEAD_TIMEOUT_S, _LATEST_S = 10.0, 20.0


def test_hundreds_of_slow_clients_are_sent_away_and_others_are_answered_meanwhile(server):
    parts = (b"P", GOOD[:40], GOOD[:-5], b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Wire(server.port)) for _ in range(400)]
        for number, wire in enumerate(slow):
            wire.socket.sendall(parts[number % 2])
        for number in range(200):
            late = stack.enter_context(Wire(server.port))
            late.socket.sendall(parts[2 + number % 2])
        begun_s = time.monotonic()
        asked = 0
        while time.monotonic() < begun_s + _HEAD_TIMEOUT_S - 2:
            assert ask(server.port, GOOD) == ANSWER
            for wire in slow[1::50]:  # a byte now and then buys no time
                wire.socket.sendall(b"x")
            asked += 1
        assert asked > 20
        statuses = {wire.answers_to_the_end()[0][0] for wire in slow}
        assert statuses == {408}
        assert time.monotonic() < begun_s + _LATEST_S
    assert ask(server.port, GOOD) == ANSWER


def test_a_client_that_has_said_all_is_answered_and_one_that_stops_in_between_is_let_go(server):
    for cut in range(0, len(GOOD) + 1, 7):
        with Wire(server.port) as wire:
            wire.socket.sendall(GOOD[:cut])
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.answers_to_the_end() == []
    with Wire(server.port) as wire:
        wire.socket.sendall(GOOD * 3)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.answers_to_the_end() == [ANSWER] * 3


def test_clients_that_go_without_reading_leave_nothing_behind(server):
    assert ask(server.port, GOOD) == ANSWER
    before = server.open_files()
    for _ in range(300):
        with Wire(server.port) as wire:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # RST
            wire.socket.sendall(GOOD * 5)
    assert ask(server.port, GOOD) == ANSWER
    assert server.open_files() <= before + 2


def test_more_connections_than_files_leave_the_server_alive(half_plus_two, tmp_path, until):
    arguments = ("--model_name=half", f"--model_base_path={half_plus_two}")
    with Process(tmp_path, *arguments, has_grpc=False, limit_files=256) as process:
        process.listening()
        with contextlib.ExitStack() as stack:
            for _ in range(500):
                stack.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", process.port), 20)))
            time.sleep(1)
            assert process.process.poll() is None
        until(lambda: _answers(process.port))
        assert process.terminate() == 0


def test_a_body_of_64_mib_is_read_beside_others_and_a_larger_one_is_refused_before_it_is_sent(server):
    whole = _padded(64 << 20)
    others: list[tuple[int, bytes]] = []
    is_over = threading.Event()

    def small() -> None:
        while not is_over.is_set():
            others.append(ask(server.port, GOOD))

    thread = threading.Thread(target=small)
    thread.start()
    try:
        assert ask(server.port, post("/v1/models/half:predict", whole)) == ANSWER
    finally:
        is_over.set()
        thread.join()
    assert set(others) == {ANSWER}
    with Wire(server.port) as wire:
        head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % ((64 << 20) + 1)
        status, body = wire.ask(head)
        assert (status, json.loads(body)["error"]) == (413, "the body must be at most 67108864 bytes, got 67108865")


def test_the_limit_of_a_request_is_the_same_for_a_chunked_and_a_compressed_one_and_for_grpc(half_plus_two, tmp_path):
    import gzip

    arguments = ("--model_name=half", f"--model_base_path={half_plus_two}", "--max_request_bytes=100000")
    with Process(tmp_path, *arguments) as process:
        process.listening()
        assert ask(process.port, post("/v1/models/half:predict", _padded(100_000))) == ANSWER
        assert ask(process.port, post("/v1/models/half:predict", _padded(100_001)))[0] == 413
        bomb = gzip.compress(_padded(50 * MB))
        assert len(bomb) < 100_000
        status, body = ask(process.port, post("/v1/models/half:predict", bomb, "Content-Encoding: gzip"))
        assert (status, json.loads(body)["error"]) == (413, "the body must be at most 100000 bytes uncompressed")
        with Wire(process.port) as wire:
            wire.socket.sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                for _ in range(100):
                    wire.socket.sendall(b"800\r\n" + b" " * 2048 + b"\r\n")
            assert wire.answer()[0] == 413
        with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            with pytest.raises(grpc.RpcError) as error:
                call(bytes(100_001), timeout=20)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert process.resident_mb() < 1000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"x":' * 100_000, "nested too deeply"),
        (b'{"instances": [[1.0, 2.0]]}', 'input "x" must have the shape [?], got [1, 2]'),
        (b'{"instances": ["a"]}', "is not of expected type: float"),
        (b'{"instances": ["' + b"a" * 10_000_000 + b'"]}', "is not of expected type: float"),
        (b'{"instances": ["\xff\xfe"]}', "JSON Parse error: Invalid encoding in string. at offset: 16"),
        (b'{"instances": [1' + b"0" * 1_000_000 + b"]}", "JSON Parse error: "),
        (b'{"instances": [1e' + b"9" * 1_000_000 + b"]}", "JSON Parse error: "),
        (b'{"' + b"k" * 5_000_000 + b'": 1}', "Missing 'inputs' or 'instances' key"),
        (b"{" + b",".join(b'"%d": 0' % number for number in range(300_000)) + b"}", "Missing 'inputs'"),
        (b"", "JSON Parse error: The document is empty"),
    ],
    ids=range(12),
)
def test_what_is_too_deep_too_long_or_of_another_kind_is_told(server, body, words):
    status, answer = ask(server.port, post("/v1/models/half:predict", body))
    assert status == 400
    assert words in json.loads(answer)["error"]
    assert len(answer) < 2 * MB or len(body) > 5 * MB
    assert ask(server.port, GOOD) == ANSWER


def test_neighbours_of_an_unreadable_image_are_answered(tmp_path):
    with Process(tmp_path, "--model_name=images", f"--model_base_path={_images(tmp_path)}") as process:
        process.listening()
        good, bad = _png(), b"no image"
        wires = [Wire(process.port) for _ in range(24)]
        for number, wire in enumerate(wires):
            wire.socket.sendall(_image_request(bad if number % 6 == 0 else good))
        answers = [wire.answer() for wire in wires]
        for wire in wires:
            wire.socket.close()
        assert [status for status, _ in answers] == [400 if number % 6 == 0 else 200 for number in range(24)]
        assert {body for status, body in answers if status == 200} == {b'{"predictions": [0.0]}'}
        # A row of one request fails with its request: the client that sends both asks again without it.
        mixed = json.dumps({"instances": [{"b64": _b64(good)}, {"b64": _b64(bad)}]}).encode()
        assert ask(process.port, post("/v1/models/images:predict", mixed))[0] == 400


def test_grpc_clients_that_cancel_or_send_too_many_at_once_leave_it_answering(server):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=1)
    request.inputs["x"].float_val.append(2.0)
    data = request.SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        for _ in range(20):
            calls = [call.future(data, timeout=20) for _ in range(200)]
            for one in calls[::2]:
                one.cancel()
            assert {one.code() for one in calls[1::2]} == {grpc.StatusCode.OK}
    assert ask(server.port, get("/v1/models/half"))[0] == 200


def test_a_client_that_takes_no_answers_is_cut_off_and_costs_little_memory(text, tmp_path):
    with Process(tmp_path, models_file(tmp_path / "models", {"text": text}), has_grpc=False) as process:
        process.listening()
        body = json.dumps({"instances": ["a" * 900_000]}).encode()
        assert ask(process.port, post("/v1/models/text:predict", body))[0] == 200
        before_mb = process.resident_mb()
        with Wire(process.port, patience_s=5) as wire, contextlib.suppress(OSError):
            for _ in range(500):  # 450 MB of answers, never read
                wire.socket.sendall(post("/v1/models/text:predict", body))
        assert process.resident_mb() < before_mb + 150
        assert ask(process.port, get("/healthz"))[0] == 200


def _answers(port: int) -> bool:
    try:
        return ask(port, GOOD) == ANSWER
    except (OSError, EOFError):
        return False


def _padded(size: int) -> bytes:
    good = b'{"instances": [2.0]}'
    return good[:-1] + b" " * (size - len(good)) + good[-1:]


def _images(folder):
    import tensorflow as tf

    class Images(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
        def answer(self, image):
            def mean(one):
                return tf.reduce_mean(tf.cast(tf.io.decode_png(one, channels=1), tf.float32))

            return {"mean": tf.map_fn(mean, image, fn_output_signature=tf.float32)}

    images = Images()
    tf.saved_model.save(images, str(folder / "images" / "1"), signatures={"serving_default": images.answer})
    return folder / "images"


def _png() -> bytes:
    import tensorflow as tf

    return tf.io.encode_png(tf.zeros([2, 2, 1], tf.uint8)).numpy()


def _b64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def _image_request(data: bytes) -> bytes:
    return post("/v1/models/images:predict", json.dumps({"instances": [{"b64": _b64(data)}]}).encode())
