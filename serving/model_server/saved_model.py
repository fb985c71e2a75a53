"""A SavedModel as something that answers, whichever TensorFlow exported it.

It runs as TensorFlow Serving runs it: as one graph in a session, by the tensors that a signature names. That serves
exports of TensorFlow 1 and 2 alike, computes only the outputs that are asked for, gives the same error texts, and one
call costs about 10 µs beside the model's own work, where calling an exported function from Python costs 150 to 250 µs.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.model_server.errors import Code, ServingError
from serving.model_server.servable import Signature, Tensors
from serving.model_server.signature_defs import signatures_of

if TYPE_CHECKING:
    from tensorflow_serving.apis import get_model_metadata_pb2

_MAX_SELECTIONS = 64  # sets of outputs with a plan of their own; a plan costs memory, and clients choose the sets
_IN_CALLERS_THREAD = -1  # of `inter_op_parallelism_threads`
_QUOTED = 500  # characters of an answer that may be made of what a client sent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runtime:
    """How TensorFlow runs in this process; the first model that is loaded decides for all.

    Attributes:
        tags: of the meta graph to load.
        intra_op_threads: threads within one op; 0 for one per core.
        inter_op_threads: ops of one request at the same time; 1 runs all in the thread that asks, 0 for one per core.
        gpu_memory_fraction: of each GPU's memory, taken at once; 0 takes what is needed.
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 1
    inter_op_threads: int = 1
    gpu_memory_fraction: float = 0.0


@dataclasses.dataclass(frozen=True)
class _Plan:
    """One signature and one set of its outputs, ready to run.

    Attributes:
        call: from the inputs, in order, to the fetched tensors; a scalar string is bare `bytes`.
        inputs: their names, in the order of `call`.
        outputs: name of an output to its place among the fetched tensors.
    """

    call: Callable[..., list[Any]]
    inputs: tuple[str, ...]
    outputs: Mapping[str, int]


class SavedModelServable:
    """One version of a model, from a SavedModel folder; implements `Servable`."""

    def __init__(self, name: str, version: int, folder: Path, runtime: Runtime) -> None:
        """Loads the model and gets every signature ready.

        Args:
            name: of the model.
            version: its number.
            folder: holds `saved_model.pb`.
            runtime: how to run it.

        Raises:
            ServingError: the folder holds no SavedModel with these tags, or it cannot be loaded.
        """
        self.name = name
        self.version = version
        self._session, signature_defs = _load(folder, runtime)
        self._signature_defs = signature_defs
        self.signatures: Mapping[str, Signature] = signatures_of(signature_defs)
        self._plans: dict[tuple[str, frozenset[str]], _Plan] = {}
        self._planning = threading.Lock()
        self._complete = {key: self._plan(key, frozenset(one.outputs)) for key, one in self.signatures.items()}

    def run(self, signature: str, inputs: Tensors, outputs: Collection[str] | None = None) -> Tensors:
        """Answers in the calling thread; see `Servable.run`."""
        plan = self._complete[signature]
        if outputs is not None and len(outputs) < len(plan.outputs):
            plan = self._selection(signature, frozenset(outputs))
        try:
            values = plan.call(*[inputs[name] for name in plan.inputs])
        except Exception as error:
            raise serving_error(error) from error
        if bytes in map(type, values):  # a scalar string comes without an array around it
            values = [np.array(value, object) if isinstance(value, bytes) else value for value in values]
        if outputs is None:
            return {name: values[place] for name, place in plan.outputs.items()}
        return {name: values[plan.outputs[name]] for name in outputs}

    def signature_def_map(self) -> get_model_metadata_pb2.SignatureDefMap:
        """The signatures as GetModelMetadata tells them."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        return get_model_metadata_pb2.SignatureDefMap(signature_def=self._signature_defs)

    def close(self) -> None:
        """Frees the model."""
        self._complete.clear()
        self._plans.clear()
        self._session.close()

    def _selection(self, signature: str, outputs: frozenset[str]) -> _Plan:
        """Returns the plan for some of the outputs, or the one for all where there are too many already."""
        plan = self._plans.get((signature, outputs))
        if plan is not None:
            return plan
        with self._planning:
            if (signature, outputs) not in self._plans:
                if len(self._plans) >= _MAX_SELECTIONS:
                    return self._complete[signature]
                self._plans[signature, outputs] = self._plan(signature, outputs)
            return self._plans[signature, outputs]

    def _plan(self, signature: str, outputs: frozenset[str]) -> _Plan:
        from tensorflow.core.protobuf import config_pb2

        definition = self._signature_defs[signature]
        names = tuple(sorted(definition.inputs))
        fetches = list(dict.fromkeys(definition.outputs[output].name for output in sorted(outputs)))
        options = config_pb2.CallableOptions(feed=[definition.inputs[name].name for name in names], fetch=fetches)
        try:
            # Not public, but what `Session.make_callable` offers converts every argument and result in Python.
            call = self._session._make_callable_from_options(options)
        except Exception as error:
            raise serving_error(error) from error
        places = {output: fetches.index(definition.outputs[output].name) for output in sorted(outputs)}
        return _Plan(call=call, inputs=names, outputs=places)


def serving_error(error: Exception) -> ServingError:
    """Turns what TensorFlow raises into what a client is told.

    Args:
        error: an `OpError` keeps its code and words; a value that is no tensor, or not what an op parses, is the
            caller's fault.

    Returns:
        INTERNAL for anything else.
    """
    import tensorflow as tf

    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ServingError(Code(error.error_code), error.message)
    if isinstance(error, UnicodeDecodeError):  # TensorFlow's words quote what it was sent, which was no text
        words = error.object.decode("utf-8", "replace")
        return ServingError(Code.INVALID_ARGUMENT, words if len(words) <= _QUOTED else f"{words[:_QUOTED]}…")
    if isinstance(error, TypeError | ValueError):
        return ServingError(Code.INVALID_ARGUMENT, str(error))
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")


def _load(folder: Path, runtime: Runtime) -> tuple[Any, dict[str, Any]]:
    """Returns an open session that holds the model, and its signatures by name."""
    import tensorflow as tf
    from tensorflow.python.saved_model.loader_impl import SavedModelLoader  # `loader.load` warns that it is old

    if not (folder / "saved_model.pb").is_file() and not (folder / "saved_model.pbtxt").is_file():
        raise ServingError(
            Code.NOT_FOUND,
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}. Check that the "
            "directory exists and that you have the right permissions for accessing it.",
        )
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=_config(runtime))
    try:
        with graph.as_default():
            meta_graph = SavedModelLoader(str(folder)).load(session, list(runtime.tags))
    except Exception as error:
        session.close()
        raise _load_error(error, folder) from error
    graph.finalize()
    return session, {key: _copy(definition) for key, definition in meta_graph.signature_def.items()}


def _config(runtime: Runtime) -> Any:
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=runtime.intra_op_threads,
        inter_op_parallelism_threads=_IN_CALLERS_THREAD if runtime.inter_op_threads == 1 else runtime.inter_op_threads,
        allow_soft_placement=True,
    )
    config.gpu_options.per_process_gpu_memory_fraction = runtime.gpu_memory_fraction
    config.gpu_options.allow_growth = runtime.gpu_memory_fraction == 0
    return config


def _load_error(error: Exception, folder: Path) -> ServingError:
    import tensorflow as tf

    if isinstance(error, tf.errors.OpError):
        return serving_error(error)
    return ServingError(Code.INVALID_ARGUMENT, f"{folder} cannot be loaded as a SavedModel: {error}")


def _copy(message: Any) -> Any:
    """Copies a part of a message, so that the whole, with its graph, need not stay in memory."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
