"""Status and metadata of a model, as TensorFlow Serving writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.protobuf import json_format

if TYPE_CHECKING:
    from serving.model_server.events import VersionStatus
    from serving.model_server.leases import Lease


def status_answer(statuses: Sequence[VersionStatus]) -> bytes:
    """Writes the answer of GetModelStatus; 64-bit numbers are texts, as in all of protobuf's JSON."""
    versions = [
        {
            "version": str(one.version),
            "state": one.state.name,
            "status": {"error_code": one.code.name, "error_message": one.message},
        }
        for one in statuses
    ]
    return json.dumps({"model_version_status": versions}, indent=1).encode() + b"\n"


def metadata_answer(lease: Lease) -> bytes:
    """Writes the answer of GetModelMetadata."""
    servable = lease.servable
    signatures = json_format.MessageToDict(
        servable.signature_def_map(), always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    spec = {"name": servable.name, "signature_name": "", "version": str(servable.version)}
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": signatures}}, indent=1).encode() + b"\n"
