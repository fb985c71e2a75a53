"""The command line of a model server: `tensorflow_model_server`'s flags, and what becomes of each."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from typing import Any

from applications.errors import ConfigError, UsageError, near_name
from serving.model_server.server_options import ServerOptions

_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")
_INT64 = range(-(2**63), 2**63)


class Effect(enum.Enum):
    """What the embedded server does with a flag of TensorFlow Serving's."""

    HONOURED = "honoured"
    NONE = "accepted, no effect"
    REFUSED = "refused"
    OURS = "ours"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        kind: bool, int, float or str.
        default: value when it is not given.
        text: what it does, or, where it has no effect or is refused, why.
        effect: what becomes of it.
    """

    name: str
    kind: type
    default: Any
    text: str
    effect: Effect


def _honoured() -> Iterator[Flag]:
    kinds = {"bool": bool, "int": int, "float": float, "str": str}
    for field in dataclasses.fields(ServerOptions):
        if field.metadata:
            effect = Effect.OURS if field.metadata["is_ours"] else Effect.HONOURED
            kind, text = kinds[str(field.type)], field.metadata["help"]
            yield Flag(name=field.name, kind=kind, default=field.default, text=text, effect=effect)


_NO_EFFECT = {
    "rest_api_num_threads": (int, "one event loop reads all requests; num_batch_threads says how many are computed"),
    "grpc_max_threads": (int, "one event loop reads all requests; num_batch_threads says how many are computed"),
    "num_unload_threads": (int, "every version that goes has a thread of its own"),
    "flush_filesystem_caches": (bool, "the system takes its file cache back when it needs the memory"),
    "remove_unused_fields_from_bundle_metagraph": (bool, "only the signatures are ever kept"),
    "num_tflite_interpreters_per_pool": (
        int,
        "batches are made before a model; --num_tflite_pools counts interpreters",
    ),
    "xla_cpu_compilation_enabled": (bool, "TensorFlow's wheel compiles what a model asks it to"),
    "xla_gpu_compilation_enabled": (bool, "TensorFlow's wheel compiles what a model asks it to"),
    "enable_profiler": (bool, "there is no profiler service; py-spy and perf see this process"),
    "skip_initialize_tpu": (bool, "there is no TPU to initialize"),
}
_REFUSED = {
    "use_alts_credentials": (bool, "ALTS works inside Google Cloud only; use --ssl_config_file"),
    "platform_config_file": (str, "SavedModels and TFLite models are all there is; use the other flags"),
    "tensorflow_session_config_file": (str, "use --tensorflow_intra_op_parallelism and its neighbours"),
    "thread_pool_factory_config_file": (str, "use num_batch_threads in --batching_parameters_file"),
    "mixed_precision": (str, "it changes a model's answers; convert the model when it is exported"),
    "enable_signature_method_name_check": (bool, "TensorFlow 2 exports no such names; any signature that fits answers"),
    "enable_per_model_batching_parameters": (bool, "one --batching_parameters_file is for all models"),
}

FLAGS: dict[str, Flag] = {
    flag.name: flag
    for flag in (
        *_honoured(),
        *(
            Flag(name=name, kind=kind, default=kind(), text=text, effect=Effect.NONE)
            for name, (kind, text) in _NO_EFFECT.items()
        ),
        *(
            Flag(name=name, kind=kind, default=kind(), text=text, effect=Effect.REFUSED)
            for name, (kind, text) in _REFUSED.items()
        ),
    )
}


def parse(arguments: Sequence[str]) -> ServerOptions:
    """Reads a command line.

    Args:
        arguments: `--flag=value` or `--flag value`; for switches `--flag`, `--noflag` or `--flag=false`. The last one
            counts when a flag is given twice.

    Returns:
        The settings; flags that have no effect are told of in `warnings`.

    Raises:
        UsageError: a flag is unknown or refused, or a value is of the wrong kind or out of its range.
    """
    values: dict[str, Any] = {}
    warnings = []
    for flag, text in _pairs(arguments):
        value = _value(flag, text)
        if flag.effect is Effect.NONE:
            warnings.append(f"--{flag.name} has no effect here: {flag.text}.")
        elif flag.effect is Effect.REFUSED:
            if value != flag.default:
                raise UsageError(
                    f"--{flag.name} is a flag of tensorflow_model_server that is refused here: {flag.text}."
                )
        else:
            values[flag.name] = value
    return ServerOptions(**values, warnings=tuple(dict.fromkeys(warnings)))


def usage(program: str) -> str:
    """Describes the flags that have an effect, one paragraph each, for `--help`."""
    lines = [f"usage: {program} --model_base_path=FOLDER | --model_config_file=FILE [flags]", ""]
    for flag in FLAGS.values():
        if flag.effect in (Effect.HONOURED, Effect.OURS):
            value = str(flag.default).lower() if flag.kind is bool else str(flag.default)
            lines.append(f"  --{flag.name}{f'={value}' if value else ''}\n        {flag.text}")
    return "\n".join(lines) + "\n"


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[Flag, str]]:
    """Yields each flag with the words of its value."""
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("--"):
            raise UsageError(
                f"unknown argument: {argument}. Every argument is a flag, such as --model_base_path=FOLDER."
            )
        name, equals, text = argument.removeprefix("--").partition("=")
        flag = FLAGS.get(name)
        switched_off = FLAGS.get(name.removeprefix("no"))
        if flag is None and name.startswith("no") and switched_off and switched_off.kind is bool and not equals:
            yield switched_off, "false"
        elif flag is None:
            raise UsageError(f"unknown flag: --{name}.{near_name(name, list(FLAGS))} --help lists the flags.")
        elif equals:
            yield flag, text
        elif flag.kind is bool:
            yield flag, "true"
        else:
            following = next(waiting, None)
            if following is None:
                raise UsageError(f"--{name} must have a value, such as --{name}={flag.default or 'VALUE'}.")
            yield flag, following


def _value(flag: Flag, text: str) -> Any:
    try:
        if flag.kind is bool:
            if text.lower() not in _TRUE + _FALSE:
                raise ValueError
            return text.lower() in _TRUE
        value = flag.kind(text)
        if flag.kind is int and value not in _INT64:
            raise ValueError
        return value
    except ValueError:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        raise ConfigError(f"--{flag.name} must be {kinds[flag.kind]}, got {text!r}.") from None
