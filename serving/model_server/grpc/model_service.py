"""`tensorflow.serving.ModelService`: the states of versions, and another configuration without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc import calls

if TYPE_CHECKING:
    from serving.model_server.data_plane import DataPlane
    from serving.model_server.grpc.exchange import Begin

Reload = Callable[[Any], None]  # takes a ModelServerConfig; blocks until it holds; raises ServingError
_LOG = logging.getLogger(__name__)


class ModelService:
    """The methods of the service."""

    def __init__(self, plane: DataPlane, reload: Reload) -> None:
        """Takes what knows the models, and what changes them."""
        self._plane = plane
        self._reload = reload
        self._reloading = asyncio.Lock()  # one at a time, without a thread for each that waits

    def handlers(self) -> dict[str, Begin]:
        """Returns what answers each method of the service."""
        return {
            "GetModelStatus": calls.handler(self.status, get_model_status_pb2.GetModelStatusRequest),
            "HandleReloadConfigRequest": calls.handler(self.reload, model_management_pb2.ReloadConfigRequest),
        }

    async def status(self, request: Any, _context: Any) -> bytes:
        """Tells the states of a model's versions."""
        spec = calls.need_spec(request)
        response = get_model_status_pb2.GetModelStatusResponse()
        for found in self._plane.status(calls.model_ref(spec)):
            response.model_version_status.add(
                version=found.version,
                state=int(found.state),
                status={"error_code": int(found.code), "error_message": found.message},
            )
        return response.SerializeToString()

    async def reload(self, request: Any, _context: Any) -> bytes:
        """Serves the models of a configuration from now on; returns when the new ones answer."""
        config = request.config
        if config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                Code.INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        async with self._reloading:
            before = self._values(request.metric_names)
            _LOG.info("a client asks for other models: %s", ", ".join(m.name for m in config.model_config_list.config))
            await asyncio.to_thread(self._reload, config)
            after = self._values(request.metric_names)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name in request.metric_names:
            response.metric.add(name=name, int64_value_increase=after[name] - before[name])
        return response.SerializeToString()

    def _values(self, names: Any) -> dict[str, int]:
        """Returns counters as HandleReloadConfigRequest names them, such as /tensorflow/serving/request_count."""
        wanted = {f":{name.strip('/').replace('/', ':')}": name for name in names}
        found = dict.fromkeys(names, 0)
        for line in self._plane.metrics.render().decode().splitlines() if wanted else ():
            name, _, rest = line.partition("{")
            if name in wanted and found[wanted[name]] == 0:
                found[wanted[name]] = int(float(rest.rpartition(" ")[2]))
        return found
