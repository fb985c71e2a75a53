"""Calls on a connection without sockets: what each shape of method answers, and how calls end."""

import gzip
import urllib.parse

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc import health, reflection, wire
from serving.model_server.grpc.exchange import Board, Conversation, Subscription, Unary
from serving.model_server.grpc.server import GrpcOptions, GrpcServer
from serving.model_server.http2 import frames
from serving.model_server.http2.frames import Fault, Flag, Kind
from tests.serving.model_server.http2.clients import Client, window

GRPC = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
STATES = health_pb2.HealthCheckResponse


class Method:
    """Takes one message; the test answers it."""

    def __init__(self):
        self.calls = []
        self.forgotten = 0
        self.is_prompt = True

    def begin(self, message, context, done):
        if message == b"bad":
            raise ServingError(Code.INVALID_ARGUMENT, "a bad message")
        self.calls.append((message, context, done))
        if self.is_prompt:
            done(message.upper(), None)
            return None
        return self.forget

    def forget(self):
        self.forgotten += 1


class Caller:
    """A client that speaks gRPC."""

    def __init__(self, **options):
        self.method = Method()
        self.health = health.Health(["", "a"])
        self.board = Board(self.health.watch, 3)
        methods = {
            b"/s/Unary": lambda *of: Unary(*of, begin=self.method.begin, max_answer_bytes=1 << 20),
            b"/s/Talk": lambda *of: Conversation(*of, reply=self.reply),
            b"/s/Listen": lambda *of: Subscription(*of, board=self.board),
        }
        self.server = GrpcServer(methods, self.health, GrpcOptions(**{"max_message_bytes": 1000, **options}))
        self.client = Client(self.server)
        self.number = -1

    def reply(self, message):
        if message == b"bad":
            raise ServingError(Code.INVALID_ARGUMENT, "a bad question")
        if message == b"broken":
            raise RuntimeError("broken inside")
        return message * 2

    def send(self, method, body, *, is_whole=True, more=()):
        """Makes a call; returns its number."""
        self.number += 2
        fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/" + method), *GRPC, *more]
        block = self.client.encoder.encode(fields)
        self.client.say(frames.frame(Kind.HEADERS, Flag.END_HEADERS, self.number, block))
        self.client.say(frames.frame(Kind.DATA, Flag.END_STREAM if is_whole else 0, self.number, body))
        return self.number

    def call(self, method, body, **more):
        """Makes a call; returns code, text and messages of its answer, as far as it has come."""
        self.send(method, body, **more)
        return self.answer()

    def answer(self):
        """Returns code (None before the end), text and messages."""
        code, text, data = None, "", b""
        for kind, _, _, payload in self.client.frames():
            if kind == Kind.DATA:
                data += payload
            elif kind == Kind.HEADERS:
                fields = self.client.read(payload)
                assert fields.get(b":status", b"200") == b"200"
                if b"grpc-status" in fields:
                    code = Code(int(fields[b"grpc-status"]))
                    text = urllib.parse.unquote(fields.get(b"grpc-message", b"").decode())
        return code, text, list(wire.MessageReader(1 << 20, b"").feed(data))

    def http(self, *fields):
        """Asks what is no gRPC; returns the status."""
        self.number += 2
        block = self.client.encoder.encode([(b":scheme", b"http"), (b":path", b"/s/Unary"), *fields])
        self.client.say(frames.frame(Kind.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, self.number, block))
        return self.client.read(self.client.frames()[0][3])[b":status"]

    def is_clean(self):
        return (self.server.open_streams, self.server.held_bytes) == (0, 0)


def test_a_message_is_answered_by_one():
    caller = Caller()
    assert caller.call(b"Unary", wire.framed(b"abc")) == (Code.OK, "", [b"ABC"])
    packed = gzip.compress(b"zipped")
    body = b"\1" + len(packed).to_bytes(4, "big") + packed
    assert caller.call(b"Unary", body, more=[(b"grpc-encoding", b"gzip")]) == (Code.OK, "", [b"ZIPPED"])
    assert caller.is_clean()


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", Code.UNIMPLEMENTED, "the method takes one message, and there is none that is whole"),
        (b"\0\0", Code.UNIMPLEMENTED, "the method takes one message, and there is none that is whole"),
        (wire.framed(b"a") + b"\0\0", Code.UNIMPLEMENTED, "there is none that is whole"),
        (wire.framed(b"a") + wire.framed(b"b"), Code.UNIMPLEMENTED, "takes one message, and there are more"),
        (wire.framed(bytes(1001)), Code.RESOURCE_EXHAUSTED, "larger than max (1001 vs. 1000)"),
        (wire.framed(b"bad"), Code.INVALID_ARGUMENT, "a bad message"),
        (b"\1\0\0\0\1x", Code.INTERNAL, "grpc-encoding gzip or deflate, got b'identity'"),
    ],
    ids=range(7),
)
def test_what_is_not_one_good_message_is_told(body, code, words):
    caller = Caller()
    found, text, messages = caller.call(b"Unary", body)
    assert (found, messages) == (code, [])
    assert words in text
    assert caller.is_clean()


def test_a_compressed_message_is_kept_as_it_came_until_the_request_is_whole():
    caller = Caller(max_message_bytes=1 << 20)
    caller.method.is_prompt = False
    packed = gzip.compress(bytes(1 << 20))
    body = b"\1" + len(packed).to_bytes(4, "big") + packed
    number = caller.send(b"Unary", body, is_whole=False, more=[(b"grpc-encoding", b"gzip")])
    receiver = caller.client.connection._book.open[number].receiver
    assert receiver._message == packed
    assert caller.server.held_bytes == len(body)
    caller.client.say(frames.frame(Kind.DATA, Flag.END_STREAM, number))
    assert caller.method.calls[0][0] == bytes(1 << 20)
    assert receiver._message is None


def test_an_answer_above_the_limit_is_not_sent():
    caller = Caller()
    caller.server._methods[b"/s/Unary"] = lambda *of: Unary(*of, begin=caller.method.begin, max_answer_bytes=3)
    assert caller.call(b"Unary", wire.framed(b"abc")) == (Code.OK, "", [b"ABC"])
    code, text, sent = caller.call(b"Unary", wire.framed(b"abcd"))
    assert (code, sent) == (Code.RESOURCE_EXHAUSTED, [])
    assert "Sent message larger than max (4 vs. 3)" in text
    assert caller.is_clean()


def test_a_message_in_pieces_is_one():
    caller = Caller()
    number = caller.send(b"Unary", b"\0\0", is_whole=False)
    caller.client.say(frames.frame(Kind.DATA, 0, number, b"\0\0\3a"))
    caller.client.say(frames.frame(Kind.DATA, Flag.END_STREAM, number, b"bc"))
    assert caller.answer() == (Code.OK, "", [b"ABC"])


def test_an_unknown_method_is_unimplemented():
    code, text, _ = Caller().call(b"Nothing", wire.framed(b"x"))
    assert (code, text) == (Code.UNIMPLEMENTED, "unknown method: /s/Nothing; reflection lists all")


def test_what_is_no_grpc_is_told_in_words_of_http():
    caller = Caller()
    assert caller.http((b":method", b"GET")) == b"405"
    assert caller.http((b":method", b"POST")) == b"415"
    assert caller.http((b":method", b"POST"), (b"content-type", b"application/json")) == b"415"
    assert caller.http((b":method", b"POST"), (b"content-type", b"application/grpc-web")) == b"415"
    assert caller.http((b":method", b"POST"), (b"content-type", b"application/grpcs")) == b"415"
    assert caller.call(b"Unary", wire.framed(b"a"), more=())[0] is Code.OK
    assert caller.is_clean()


def test_a_deadline_is_counted_from_the_call_and_a_bad_one_refused():
    caller = Caller()
    caller.call(b"Unary", wire.framed(b"a"), more=[(b"grpc-timeout", b"250m")])
    caller.call(b"Unary", wire.framed(b"a"))
    deadlines = [context.deadline_s for _, context, _ in caller.method.calls]
    assert deadlines == [caller.client.loop.now_s + 0.25, None]
    code, text, _ = caller.call(b"Unary", wire.framed(b"a"), more=[(b"grpc-timeout", b"soon")])
    assert code is Code.INVALID_ARGUMENT
    assert "got b'soon'" in text


def test_a_call_that_is_taken_back_is_forgotten_and_its_late_answer_goes_nowhere():
    caller = Caller()
    caller.method.is_prompt = False
    number = caller.send(b"Unary", wire.framed(b"a"))
    caller.client.say(frames.reset(number, Fault.CANCEL))
    assert caller.method.forgotten == 1
    caller.method.calls[0][2](b"late", None)
    assert caller.answer() == (None, "", [])
    assert caller.is_clean()


def test_calls_above_the_limit_are_refused_until_one_is_answered():
    caller = Caller(max_concurrent_calls=1)
    caller.method.is_prompt = False
    caller.send(b"Unary", wire.framed(b"a"))
    code, text, _ = caller.call(b"Unary", wire.framed(b"b"))
    assert (code, text) == (Code.RESOURCE_EXHAUSTED, "there are 1 calls already; try again later")
    caller.method.calls[0][2](b"A", None)
    assert caller.answer() == (Code.OK, "", [b"A"])
    caller.send(b"Unary", wire.framed(b"c"))
    assert len(caller.method.calls) == 2


def test_who_needs_no_token_takes_no_place_of_others_and_gets_one_again_when_another_is_over():
    caller = Caller(max_concurrent_calls=8, accepts=lambda shown: shown == "Bearer right")
    token = [(b"authorization", b"Bearer right")]
    caller.method.is_prompt = False
    caller.server._methods[b"/grpc.health.v1.Health/Check"] = caller.server._methods[b"/s/Unary"]
    opened = []
    for path in (b"/x", b"/grpc.health.v1.Health/Check"):  # neither is ever whole
        caller.number += 2
        opened.append(caller.number)
        kind = GRPC if path != b"/x" else []
        block = caller.client.encoder.encode([(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), *kind])
        caller.client.say(frames.frame(Kind.HEADERS, Flag.END_HEADERS, caller.number, block))
    caller.number += 2
    caller.client.say(frames.frame(Kind.HEADERS, Flag.END_HEADERS, caller.number, block))
    code, text, _ = caller.answer()
    assert (code, text) == (Code.RESOURCE_EXHAUSTED, "there are 2 requests that need no token already; try again later")
    for _ in range(8):
        caller.send(b"Unary", wire.framed(b"a"), more=token)
    assert len(caller.method.calls) == 8
    assert caller.call(b"Unary", wire.framed(b"a"), more=token)[1] == "there are 8 calls already; try again later"
    caller.client.say(frames.reset(opened[0], Fault.CANCEL))
    assert caller.http((b":method", b"GET")) == b"405"
    caller.client.lose()
    assert (caller.server.open_streams, caller.server.open_guests) == (0, 0)


def test_a_request_that_is_late_is_told_so():
    caller = Caller()
    caller.send(b"Unary", b"\0\0", is_whole=False)
    caller.client.wait(1000)
    assert caller.answer()[:2] == (Code.DEADLINE_EXCEEDED, "the request was not sent in time")
    assert caller.is_clean()


def test_a_server_that_ends_tells_the_calls_under_way():
    caller = Caller()
    caller.method.is_prompt = False
    caller.send(b"Unary", wire.framed(b"a"))
    caller.client.connection.stop()
    assert caller.answer() == (Code.UNAVAILABLE, "the server is shutting down", [])
    assert caller.method.forgotten == 1


def test_a_conversation_answers_each_message_as_it_comes():
    caller = Caller()
    number = caller.send(b"Talk", wire.framed(b"a") + wire.framed(b"b")[:3], is_whole=False)
    assert caller.answer() == (None, "", [b"aa"])
    caller.client.say(frames.frame(Kind.DATA, 0, number, wire.framed(b"b")[3:]))
    assert caller.answer() == (None, "", [b"bb"])
    caller.client.say(frames.frame(Kind.DATA, Flag.END_STREAM, number))
    assert caller.answer() == (Code.OK, "", [])
    assert caller.call(b"Talk", b"") == (Code.OK, "", [])
    assert caller.is_clean()


def test_a_conversation_ends_with_the_first_error():
    assert Caller().call(b"Talk", wire.framed(b"x") + wire.framed(b"bad") + wire.framed(b"y")) == (
        Code.INVALID_ARGUMENT,
        "a bad question",
        [b"xx"],
    )
    code, text, _ = Caller().call(b"Talk", wire.framed(b"broken"))
    assert (code, text) == (Code.INTERNAL, "broken inside")


def test_a_conversation_whose_answers_are_not_taken_is_not_answered_on():
    caller = Caller()
    answered = []
    caller.reply = lambda message: answered.append(message) or message
    caller.client.say(window(size=0))
    caller.send(b"Talk", wire.framed(b"x") * 500, is_whole=False)
    assert caller.client.resets() == [(1, Fault.ENHANCE_YOUR_CALM)]
    assert len(answered) == 65
    assert caller.is_clean()


@pytest.mark.parametrize("method", [b"Talk", b"Listen"])
def test_calls_that_may_stay_open_take_small_messages_only(method):
    caller = Caller(max_message_bytes=64 << 20)
    code, text, _ = caller.call(method, b"\0" + (1 << 20).to_bytes(4, "big"), is_whole=False)
    assert code is Code.RESOURCE_EXHAUSTED
    assert "larger than max (1048576 vs. 65536)" in text


def asked(name):
    return wire.framed(health_pb2.HealthCheckRequest(service=name).SerializeToString())


def states(messages):
    return [STATES.FromString(message).status for message in messages]


def test_a_listener_is_told_the_state_and_each_change_until_the_server_ends():
    caller = Caller()
    code, _, messages = caller.call(b"Listen", asked("a"))
    assert (code, states(messages)) == (None, [STATES.NOT_SERVING])
    for is_serving in (True, True, False):
        caller.health.set_serving(is_serving)
    assert states(caller.answer()[2]) == [STATES.SERVING, STATES.NOT_SERVING]
    caller.client.connection.stop_patient()
    assert caller.answer()[0] is Code.UNAVAILABLE
    caller.health.set_serving(True)
    assert caller.answer() == (None, "", [])
    assert caller.is_clean()


def test_a_listener_that_goes_is_told_no_more_and_one_for_no_service_is_told_that():
    caller = Caller()
    number = caller.send(b"Listen", asked("nothing"))
    assert states(caller.answer()[2]) == [STATES.SERVICE_UNKNOWN]
    caller.client.say(frames.reset(number, Fault.CANCEL))
    caller.health.set_serving(True)
    assert caller.answer() == (None, "", [])
    assert caller.health._listeners == {}


def test_a_listener_that_asks_nothing_or_twice_is_refused():
    assert Caller().call(b"Listen", b"")[0] is Code.UNIMPLEMENTED
    assert Caller().call(b"Listen", asked("a") * 2)[0] is Code.UNIMPLEMENTED
    caller = Caller()
    assert caller.call(b"Listen", wire.framed(b"\xff\xff"))[0] is Code.INVALID_ARGUMENT
    assert caller.health._listeners == {}


def test_listeners_above_the_limit_are_refused_until_one_goes_and_calls_are_answered_meanwhile():
    caller = Caller(max_concurrent_calls=4)
    numbers = [caller.send(b"Listen", asked("a")) for _ in range(3)]
    caller.answer()
    code, text, _ = caller.call(b"Listen", asked("a"))
    assert (code, text) == (Code.RESOURCE_EXHAUSTED, "there are 3 calls of this kind already; try again later")
    assert caller.call(b"Unary", wire.framed(b"a"))[0] is Code.OK
    caller.client.say(frames.reset(numbers[0], Fault.CANCEL))
    assert caller.call(b"Listen", asked("a"))[0] is None
    caller.client.lose()
    assert caller.board.readers == set()
    assert caller.is_clean()


def test_a_listener_that_does_not_say_to_what_has_no_more_time_than_others():
    caller = Caller()
    caller.send(b"Listen", asked("a")[:3], is_whole=False)
    assert caller.server.held_bytes == 3
    caller.client.wait(1000)
    assert caller.answer()[0] is Code.DEADLINE_EXCEEDED
    caller.send(b"Listen", asked("a"), is_whole=False)
    caller.client.wait(1000)
    assert caller.answer()[0] is None
    caller.client.lose()
    assert caller.is_clean()


def test_reflection_finds_services_messages_and_methods_and_says_what_there_is_not():
    reply = reflection.Reflection(["tensorflow.serving.PredictionService"]).reply

    def ask(**question):
        message = reflection_pb2.ServerReflectionRequest(**question).SerializeToString()
        return reflection_pb2.ServerReflectionResponse.FromString(reply(message))

    listed = {one.name for one in ask(list_services="").list_services_response.service}
    assert listed == {"tensorflow.serving.PredictionService", reflection.NAME}
    for symbol in ("tensorflow.serving.PredictionService.Predict", "tensorflow.serving.PredictRequest"):
        assert ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto
    for symbol in ("", "x", "tensorflow.serving.PredictionService.Nothing", "a.b.c", "é"):
        assert ask(file_containing_symbol=symbol).error_response.error_code == Code.NOT_FOUND
    with pytest.raises(ServingError, match="must be a serialized"):
        reply(b"\xff\xff")
