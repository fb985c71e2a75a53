"""Questions as gRPC messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.client.exchanges import STATES, Exchange, Model, ModelSignature, Tensors, VersionState
from serving.client.messages import message
from serving.model_server.grpc import tensor_protos

_PREDICTION, _MODEL = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"
_SIGNATURES = "signature_def"


class GrpcDialect:
    """See `exchanges.Dialect`."""

    def predict(self, model: Model, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Exchange[Tensors]:
        """Asks for outputs; all where none is named."""
        request = message("tensorflow.serving.PredictRequest")()
        _fill_spec(request.model_spec, model)
        for name, array in inputs.items():
            tensor_protos.fill(request.inputs[name], np.asarray(array), as_content=np.asarray(array).dtype.kind != "O")
        request.output_filter.extend(outputs)
        return Exchange(f"{_PREDICTION}/Predict", request.SerializeToString(), _read_outputs)

    def signatures(self, model: Model) -> Exchange[dict[str, ModelSignature]]:
        """Asks which functions a model has."""
        request = message("tensorflow.serving.GetModelMetadataRequest")(metadata_field=[_SIGNATURES])
        _fill_spec(request.model_spec, model)
        return Exchange(f"{_PREDICTION}/GetModelMetadata", request.SerializeToString(), _read_signatures)

    def status(self, model: Model) -> Exchange[list[VersionState]]:
        """Asks which versions are there."""
        request = message("tensorflow.serving.GetModelStatusRequest")()
        _fill_spec(request.model_spec, model)
        return Exchange(f"{_MODEL}/GetModelStatus", request.SerializeToString(), _read_status)

    def reload(self, base_paths: Mapping[str, str]) -> Exchange[None]:
        """Asks to serve these models and no others; never sent twice."""
        request = message("tensorflow.serving.ReloadConfigRequest")()
        for name, path in base_paths.items():
            request.config.model_config_list.config.add(name=name, base_path=path, model_platform="tensorflow")
        body = request.SerializeToString()
        return Exchange(f"{_MODEL}/HandleReloadConfigRequest", body, lambda _: None, is_safe=False)


def _fill_spec(spec: Any, model: Model) -> None:
    spec.name = model.name
    if model.version is not None:
        spec.version.value = model.version
    if model.label:
        spec.version_label = model.label
    if model.signature:
        spec.signature_name = model.signature


def _read_outputs(body: bytes) -> Tensors:
    response = message("tensorflow.serving.PredictResponse").FromString(body)
    return {name: tensor_protos.to_array(proto) for name, proto in response.outputs.items()}


def _read_signatures(body: bytes) -> dict[str, ModelSignature]:
    response = message("tensorflow.serving.GetModelMetadataResponse").FromString(body)
    found = message("tensorflow.serving.SignatureDefMap").FromString(response.metadata[_SIGNATURES].value)
    return {
        name: ModelSignature(
            {key: info.dtype for key, info in one.inputs.items()},
            {key: info.dtype for key, info in one.outputs.items()},
        )
        for name, one in found.signature_def.items()
    }


def _read_status(body: bytes) -> list[VersionState]:
    response = message("tensorflow.serving.GetModelStatusResponse").FromString(body)
    return [
        VersionState(one.version, STATES.get(one.state, str(one.state)), one.status.error_message)
        for one in response.model_version_status
    ]
