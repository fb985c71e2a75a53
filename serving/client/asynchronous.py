"""The client whose answers are awaited."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from serving.client import answers
from serving.client.answers import Answer
from serving.client.errors import ClientError
from serving.client.exchanges import Exchange, Model, ModelSignature, T, Tensors, VersionState
from serving.client.options import Attempts, Options
from serving.client.synchronous import as_column, part_id
from serving.client.transports import connect_async

Part = Callable[[int, Sequence[int]], Awaitable[list[Answer]]]


class AsyncClient:
    """Asks a model server from one event loop; the methods are those of `Client`."""

    def __init__(self, target: str, options: Options | None = None) -> None:
        """Takes where the server is; must be called in the loop that uses it."""
        self.options = options or Options()
        self._transport = connect_async(target, self.options)
        self._signatures: dict[Model, dict[str, ModelSignature]] = {}
        self._free = asyncio.Semaphore(self.options.concurrent)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def ask(
        self, model: str | Model, items: Sequence[bytes | Path | str], *, request_id: str = ""
    ) -> list[Answer]:
        """Has files labelled, some requests at once; see `Client.ask`."""
        chosen, name = answers.file_signature(_model(model), await self.signatures(model))
        names = answers.names_of(items)
        groups = list(answers.chunks(range(len(items)), self.options.rows_per_request))

        async def part(number: int, group: Sequence[int]) -> list[Answer]:
            """Asks about one group of the items."""
            inputs = {name: answers.as_strings([answers.read_item(items[place]) for place in group])}
            outputs = await self.predict(chosen, inputs, request_id=part_id(request_id, number, len(groups)))
            return answers.answers_of(outputs, [names[place] for place in group])

        return await self._all(part, groups)

    async def ask_table(
        self, model: str | Model, columns: Mapping[str, Sequence[object]], *, request_id: str = ""
    ) -> list[Answer]:
        """Has the rows of a table labelled, some requests at once; see `Client.ask_table`."""
        chosen = answers.table_signature(_model(model), await self.signatures(model), list(columns))
        arrays = {name: as_column(values) for name, values in columns.items()}
        groups = list(answers.chunks(range(len(next(iter(arrays.values())))), self.options.rows_per_request))

        async def part(number: int, group: Sequence[int]) -> list[Answer]:
            """Asks about one group of the rows."""
            rows = {name: array[group[0] : group[-1] + 1] for name, array in arrays.items()}
            outputs = await self.predict(chosen, rows, request_id=part_id(request_id, number, len(groups)))
            return answers.answers_of(outputs, [str(row) for row in group])

        return await self._all(part, groups)

    async def predict(
        self,
        model: str | Model,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        request_id: str = "",
    ) -> Tensors:
        """Asks for the outputs of any function of a model; see `Client.predict`."""
        exchange = self._transport.dialect.predict(_model(model), inputs, outputs)
        return await self._send(dataclasses.replace(exchange, request_id=request_id))

    async def signatures(self, model: str | Model) -> dict[str, ModelSignature]:
        """Returns the functions of a model, asked for once."""
        key = dataclasses.replace(_model(model), signature="")
        if key not in self._signatures:
            self._signatures[key] = await self._send(self._transport.dialect.signatures(key))
        return self._signatures[key]

    async def status(self, model: str | Model) -> list[VersionState]:
        """Returns the states of a model's versions."""
        return await self._send(self._transport.dialect.status(_model(model)))

    async def reload(self, base_paths: Mapping[str, str]) -> None:
        """Has the server serve these models and no others; see `Client.reload`."""
        await self._send(self._transport.dialect.reload(base_paths))

    async def _send(self, exchange: Exchange[T]) -> T:
        attempts = Attempts(self.options, is_safe=exchange.is_safe)
        while True:
            try:
                async with self._free:
                    return await self._transport.send(exchange, attempts.remaining_s)
            except ClientError as error:
                await asyncio.sleep(attempts.wait_after(error))

    async def _all(self, part: Part, groups: Sequence[Sequence[int]]) -> list[Answer]:
        """Asks for all groups, and gives up the others when one fails."""
        tasks = [asyncio.ensure_future(part(number, group)) for number, group in enumerate(groups)]
        try:
            return [answer for found in await asyncio.gather(*tasks) for answer in found]
        finally:
            for task in tasks:
                task.cancel()


def _model(model: str | Model) -> Model:
    return Model(model) if isinstance(model, str) else model
