"""Connections: gRPC channels and HTTP pools, waiting and asynchronous; errors become ClientError."""

from __future__ import annotations

import functools
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from serving.client.errors import ClientError, not_reached
from serving.client.exchanges import Dialect, Exchange, T
from serving.client.grpc_dialect import GrpcDialect
from serving.client.options import Options, split_target
from serving.client.rest_dialect import RestDialect
from serving.model_server.errors import HTTP_STATUS, Code

if TYPE_CHECKING:
    import httpx

_ID = "x-request-id"
_OK, _TOO_LARGE, _BUSY, _UNAVAILABLE = 200, 413, 429, 503
_CODES = {status: code for code, status in reversed(HTTP_STATUS.items())} | {
    _TOO_LARGE: Code.RESOURCE_EXHAUSTED,
    _BUSY: Code.UNAVAILABLE,  # no room in the queue: gRPC's code for it
}


class Transport(Protocol):
    """Sends a question and waits for the answer."""

    dialect: Dialect

    def send(self, exchange: Exchange[T], timeout_s: float) -> T:
        """Raises ClientError where there is no answer."""
        ...

    def close(self) -> None:
        """Closes the connections."""
        ...


class AsyncTransport(Protocol):
    """Sends a question; the answer is awaited."""

    dialect: Dialect

    async def send(self, exchange: Exchange[T], timeout_s: float) -> T:
        """Raises ClientError where there is no answer."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


def connect(target: str, options: Options) -> Transport:
    """Returns a waiting transport; connects with the first request."""
    scheme, rest = split_target(target)
    if scheme in {"http", "https"}:
        return RestTransport(target, options)
    return GrpcTransport(_address(scheme, rest), options, is_secure=scheme == "grpcs")


def connect_async(target: str, options: Options) -> AsyncTransport:
    """Returns an asynchronous transport; connects with the first request."""
    scheme, rest = split_target(target)
    if scheme in {"http", "https"}:
        return AsyncRestTransport(target, options)
    return AsyncGrpcTransport(_address(scheme, rest), options, is_secure=scheme == "grpcs")


class GrpcTransport:
    """A gRPC channel."""

    def __init__(self, address: str, options: Options, *, is_secure: bool) -> None:
        """Takes where to connect, and with TLS or without."""
        import grpc

        self.dialect: Dialect = GrpcDialect()
        self._address = address
        self._token = options.token
        self._channel = _channel(grpc, address, options, is_secure=is_secure)
        self._method = functools.cache(self._channel.unary_unary)

    def send(self, exchange: Exchange[T], timeout_s: float) -> T:
        """See `Transport`."""
        import grpc

        metadata = _headers(self._token, exchange.request_id)
        try:
            return exchange.read(self._method(exchange.path)(exchange.body, timeout=timeout_s, metadata=metadata))
        except grpc.RpcError as error:
            raise _from_grpc(error, self._address) from error

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


class AsyncGrpcTransport:
    """A gRPC channel of the running loop."""

    def __init__(self, address: str, options: Options, *, is_secure: bool) -> None:
        """Takes where to connect, and with TLS or without."""
        from grpc import aio

        self.dialect: Dialect = GrpcDialect()
        self._address = address
        self._token = options.token
        self._channel = _channel(aio, address, options, is_secure=is_secure)
        self._method = functools.cache(self._channel.unary_unary)

    async def send(self, exchange: Exchange[T], timeout_s: float) -> T:
        """See `AsyncTransport`."""
        import grpc

        metadata = _headers(self._token, exchange.request_id)
        try:
            body = await self._method(exchange.path)(exchange.body, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise _from_grpc(error, self._address) from error
        return exchange.read(body)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


class RestTransport:
    """A pool of HTTP connections."""

    def __init__(self, url: str, options: Options) -> None:
        """Takes the server's address."""
        import httpx

        self.dialect: Dialect = RestDialect()
        self._url = url
        self._token = options.token
        self._client = httpx.Client(base_url=url, verify=_tls(options, url))

    def send(self, exchange: Exchange[T], timeout_s: float) -> T:
        """See `Transport`."""
        import httpx

        try:
            response = self._client.request(**_request(exchange, self._token, timeout_s))
        except httpx.HTTPError as error:
            raise _from_httpx(error, self._url) from error
        return _read(exchange, response)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


class AsyncRestTransport:
    """A pool of HTTP connections of the running loop."""

    def __init__(self, url: str, options: Options) -> None:
        """Takes the server's address."""
        import httpx

        self.dialect: Dialect = RestDialect()
        self._url = url
        self._token = options.token
        self._client = httpx.AsyncClient(base_url=url, verify=_tls(options, url))

    async def send(self, exchange: Exchange[T], timeout_s: float) -> T:
        """See `AsyncTransport`."""
        import httpx

        try:
            response = await self._client.request(**_request(exchange, self._token, timeout_s))
        except httpx.HTTPError as error:
            raise _from_httpx(error, self._url) from error
        return _read(exchange, response)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def _address(scheme: str, rest: str) -> str:
    return f"unix:{rest}" if scheme == "unix" else rest


def _headers(token: str, request_id: str) -> list[tuple[str, str]]:
    found = [("authorization", f"Bearer {token}")] if token else []
    return [*found, (_ID, request_id)] if request_id else found


def _channel(package: Any, address: str, options: Options, *, is_secure: bool) -> Any:
    """Opens a channel of `grpc` or of `grpc.aio`, which open them alike."""
    # gRPC's own retries are off: they know nothing of which requests are safe, nor of each other.
    arguments = [("grpc.max_receive_message_length", options.max_message_bytes), ("grpc.enable_retries", 0)]
    if is_secure:
        return package.secure_channel(address, _credentials(options), arguments)
    return package.insecure_channel(address, arguments)


def _credentials(options: Options) -> Any:
    import grpc

    def contents(path: Path | None) -> bytes | None:
        """Reads a file where one is named."""
        return None if path is None else path.read_bytes()

    return grpc.ssl_channel_credentials(
        contents(options.ca_file), contents(options.key_file), contents(options.cert_file)
    )


def _tls(options: Options, url: str) -> ssl.SSLContext | bool:
    if not url.startswith("https:"):
        return False
    context = ssl.create_default_context(cafile=options.ca_file)
    if options.cert_file is not None:
        context.load_cert_chain(options.cert_file, options.key_file)
    return context


def _request(exchange: Exchange[Any], token: str, timeout_s: float) -> dict[str, Any]:
    headers = _headers(token, exchange.request_id)
    if exchange.verb != "GET":
        headers.append(("content-type", "application/json"))
    return {
        "method": exchange.verb,
        "url": exchange.path,
        "content": exchange.body or None,
        "headers": headers,
        "timeout": timeout_s,
    }


def _read(exchange: Exchange[T], response: httpx.Response) -> T:
    if response.status_code == _OK:
        return exchange.read(response.content)
    try:
        message = str(json.loads(response.content)["error"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:200] or f"HTTP {response.status_code}"
    code = _CODES.get(response.status_code, Code.UNKNOWN)
    raise ClientError(code, message, may_retry=response.status_code in {_BUSY, _UNAVAILABLE})


def _from_httpx(error: httpx.HTTPError, url: str) -> ClientError:
    import httpx

    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return ClientError(Code.DEADLINE_EXCEEDED, f"{url} has not answered in time")
    return not_reached(url, str(error))


def _from_grpc(error: Any, address: str) -> ClientError:
    code = Code(error.code().value[0])
    details = error.details() or ""
    if code is Code.UNAVAILABLE and ("connect" in details.lower() or "resolving" in details):
        return not_reached(address, details)
    return ClientError(code, details, may_retry=code is Code.UNAVAILABLE)
