"""The client that waits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from serving.client import answers
from serving.client.answers import Answer
from serving.client.errors import ClientError
from serving.client.exchanges import Exchange, Model, ModelSignature, T, Tensors, VersionState
from serving.client.options import Attempts, Options
from serving.client.transports import connect


class Client:
    """Asks a model server and waits for the answers; may be used by several threads."""

    def __init__(self, target: str, options: Options | None = None) -> None:
        """Takes where the server is; connects with the first request.

        Args:
            target: `host:port` for gRPC, `grpcs://host:port` with TLS, `unix:/path`, `http://…` or `https://…`.
            options: time, retries, TLS, token.
        """
        self.options = options or Options()
        self._transport = connect(target, self.options)
        self._signatures: dict[Model, dict[str, ModelSignature]] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def ask(self, model: str | Model, items: Sequence[bytes | Path | str], *, request_id: str = "") -> list[Answer]:
        """Has images, sounds or other files labelled.

        Args:
            model: with a function `predict_…` that takes files.
            items: paths, or the contents of files.
            request_id: what the request log calls the request; of several it is followed by `-0`, `-1`, ….

        Returns:
            One for each item, in their order.

        Raises:
            ClientError: the server cannot be reached or refuses.
        """
        chosen, name = answers.file_signature(_model(model), self.signatures(model))
        found: list[Answer] = []
        groups = list(answers.chunks(items, self.options.rows_per_request))
        for number, group in enumerate(groups):
            inputs = {name: answers.as_strings([answers.read_item(item) for item in group])}
            outputs = self.predict(chosen, inputs, request_id=part_id(request_id, number, len(groups)))
            names = answers.names_of(items[len(found) : len(found) + len(group)])
            found += answers.answers_of(outputs, names)
        return found

    def ask_table(
        self, model: str | Model, columns: Mapping[str, Sequence[object]], *, request_id: str = ""
    ) -> list[Answer]:
        """Has the rows of a table labelled.

        Args:
            model: with a function `predict_…` that takes these columns.
            columns: values by name, all of one length.
            request_id: as for `ask`.

        Returns:
            One for each row.

        Raises:
            ClientError: the server cannot be reached or refuses.
        """
        chosen = answers.table_signature(_model(model), self.signatures(model), list(columns))
        arrays = {name: as_column(values) for name, values in columns.items()}
        rows = len(next(iter(arrays.values())))
        found: list[Answer] = []
        groups = list(answers.chunks(range(rows), self.options.rows_per_request))
        for number, group in enumerate(groups):
            part = {name: array[group[0] : group[-1] + 1] for name, array in arrays.items()}
            outputs = self.predict(chosen, part, request_id=part_id(request_id, number, len(groups)))
            found += answers.answers_of(outputs, [str(row) for row in group])
        return found

    def predict(
        self,
        model: str | Model,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        request_id: str = "",
    ) -> Tensors:
        """Asks for the outputs of any function of a model.

        Args:
            model: its signature is `serving_default` unless named.
            inputs: arrays by the names of the signature.
            outputs: names wanted; all where empty.
            request_id: what the request log calls the request.

        Raises:
            ClientError: the server cannot be reached or refuses.
        """
        exchange = self._transport.dialect.predict(_model(model), inputs, outputs)
        return self._send(dataclasses.replace(exchange, request_id=request_id))

    def signatures(self, model: str | Model) -> dict[str, ModelSignature]:
        """Returns the functions of a model, asked for once."""
        key = dataclasses.replace(_model(model), signature="")
        if key not in self._signatures:
            self._signatures[key] = self._send(self._transport.dialect.signatures(key))
        return self._signatures[key]

    def status(self, model: str | Model) -> list[VersionState]:
        """Returns the states of a model's versions."""
        return self._send(self._transport.dialect.status(_model(model)))

    def reload(self, base_paths: Mapping[str, str]) -> None:
        """Has the server serve these models and no others; never sent twice. Over gRPC alone.

        Args:
            base_paths: absolute folder on the server, by the model's name.

        Raises:
            ClientError: the server cannot be reached or refuses.
        """
        self._send(self._transport.dialect.reload(base_paths))

    def _send(self, exchange: Exchange[T]) -> T:
        attempts = Attempts(self.options, is_safe=exchange.is_safe)
        while True:
            try:
                return self._transport.send(exchange, attempts.remaining_s)
            except ClientError as error:
                time.sleep(attempts.wait_after(error))


def _model(model: str | Model) -> Model:
    return Model(model) if isinstance(model, str) else model


def part_id(request_id: str, number: int, count: int) -> str:
    """Names one of several requests after the whole."""
    return f"{request_id}-{number}" if request_id and count > 1 else request_id


def as_column(values: Sequence[object]) -> np.ndarray:
    """Returns a column as an array: numbers as they are, text as objects."""
    array = np.asarray(values)
    return array.astype(object) if array.dtype.kind in "SU" else array
