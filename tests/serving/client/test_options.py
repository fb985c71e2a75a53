import pytest

from applications.errors import ConfigError
from serving.client.errors import ClientError
from serving.client.options import Attempts, Options, Retries, split_target
from serving.model_server.errors import Code

BUSY = ClientError(Code.UNAVAILABLE, "no room", may_retry=True)


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("localhost:8500", ("grpc", "localhost:8500")),
        ("grpcs://a:1", ("grpcs", "a:1")),
        ("unix:/run/s", ("unix", "/run/s")),
        ("[::1]:8500", ("grpc", "[::1]:8500")),
        ("http://a:1/", ("http", "a:1")),
    ],
)
def test_an_address_says_how_to_ask(target, expected):
    assert split_target(target) == expected


@pytest.mark.parametrize("target", ["ftp://a", "http://"])
def test_another_scheme_is_refused(target):
    with pytest.raises(ConfigError, match="must begin with grpc://, grpcs://, http://, https:// or unix:"):
        split_target(target)


@pytest.mark.parametrize("target", ["localhost", "grpcs://station", "grpc://[::1]"])
def test_grpc_has_no_usual_port_so_one_must_be_given(target):
    with pytest.raises(ConfigError, match="must have a port, such as .*:8500"):
        split_target(target)


def test_waits_grow_at_random_and_end_after_the_last_attempt():
    attempts = Attempts(Options(retries=Retries(attempts=4, first_s=1, longest_s=3)), is_safe=True, clock=Clock())
    waits = [attempts.wait_after(BUSY) for _ in range(3)]
    assert 0.5 <= waits[0] <= 1
    assert 1 <= waits[1] <= 2
    assert 1.5 <= waits[2] <= 3
    with pytest.raises(ClientError, match="UNAVAILABLE: no room"):
        attempts.wait_after(BUSY)


def test_no_wait_goes_beyond_the_deadline():
    clock = Clock()
    attempts = Attempts(Options(timeout_s=10, retries=Retries(first_s=4, longest_s=4)), is_safe=True, clock=clock)
    clock.now_s += 7
    assert attempts.remaining_s == pytest.approx(3)
    clock.now_s += 2
    with pytest.raises(ClientError):
        attempts.wait_after(BUSY)


@pytest.mark.parametrize(
    ("is_safe", "error"), [(False, BUSY), (True, ClientError(Code.INVALID_ARGUMENT, "wrong shape"))]
)
def test_what_must_not_or_need_not_be_sent_again_is_not(is_safe, error):
    with pytest.raises(ClientError) as caught:
        Attempts(Options(), is_safe=is_safe).wait_after(error)
    assert caught.value is error


def test_options_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="timeout_s must be above 0"):
        Options(timeout_s=0)
    with pytest.raises(ConfigError, match="attempts of 1 or more"):
        Retries(attempts=0)
    with pytest.raises(ConfigError, match="belong together"):
        Options(cert_file="a.pem")


def test_a_token_is_not_printed():
    assert "secret" not in repr(Options(token="secret"))


def test_an_error_says_its_code_and_what_to_do():
    assert str(ClientError(Code.UNAUTHENTICATED, "a token is needed.")) == (
        "UNAUTHENTICATED: a token is needed. Give the token (Options(token=…), --token-file)."
    )
