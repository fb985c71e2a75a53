"""The resolved configuration of a run: defaults, then the application's spec, then `--config`, then `--set`."""

from __future__ import annotations

import dataclasses
import pathlib
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from applications import settings
from applications.errors import ConfigError, UnknownName
from applications.spans import is_pattern
from applications.spec import Application
from pipeline import config_values
from pipeline.config_values import Given
from trainer.choices import CHOICES

VERSION = 1
_TOP_KEYS = ("version", "application", "data")
_Layers: TypeAlias = dict[str, dict[str, Given]]
_Section = TypeVar("_Section")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything a run is told, with each value checked.

    Attributes:
        version: of this layout; a run's record of another version is refused.
        application: `<system>/<application>`.
        data: path or URI of the raw data, or a pattern of such (`applications.spans`); "" means a synthetic sample is
            made in the output folder.
    """

    version: int = VERSION
    application: str
    data: str = ""
    spans: settings.SpanSettings = settings.SpanSettings()
    image: settings.ImageSettings = settings.ImageSettings()
    ingest: settings.IngestSettings = settings.IngestSettings()
    split: settings.SplitSettings = settings.SplitSettings()
    validate: settings.ValidateSettings = settings.ValidateSettings()
    train: settings.TrainSettings = settings.TrainSettings()
    tune: settings.TuneSettings = settings.TuneSettings()
    evaluate: settings.EvaluateSettings = settings.EvaluateSettings()
    blessing: settings.BlessingSettings = settings.BlessingSettings()
    serving_check: settings.ServingCheckSettings = settings.ServingCheckSettings()
    push: settings.PushSettings = settings.PushSettings()
    metadata: settings.MetadataSettings = settings.MetadataSettings()
    beam: settings.BeamSettings = settings.BeamSettings()
    local: settings.LocalSettings = settings.LocalSettings()

    def __post_init__(self) -> None:
        if self.ingest.format == "tfrecord" and is_pattern(self.data):
            raise ConfigError(
                f"spans are read from raw files alone, but ingest.format is 'tfrecord' and data is {self.data!r}. "
                "Name one folder of records with --data, or leave ingest.format at 'raw'."
            )
        if self.tune.enabled and self.train.warm_start:
            raise ConfigError(
                "train.warm_start needs the network of the last model, but tune.enabled looks for another width, "
                "got both true; set one of them to false."
            )


def sections() -> dict[str, type[Any]]:
    """Returns the section names in order, each with the dataclass that holds its settings."""
    return {
        field.name: type(field.default)
        for field in dataclasses.fields(RunConfig)
        if dataclasses.is_dataclass(field.default)
    }


def resolve(
    application: Application,
    *,
    data: str = "",
    config_file: str | pathlib.Path | None = None,
    overrides: Sequence[str] = (),
) -> RunConfig:
    """Puts the layers together: default < application < `config_file` < `overrides`.

    Args:
        application: whose own settings replace the defaults.
        data: path or URI; "" leaves what the file says.
        config_file: a YAML mapping of sections, such as a run's `config.yaml`.
        overrides: each `section.key=value`; lists are `a,b` or `[a, b]`.

    Raises:
        ConfigError: a value is of the wrong type or out of range, or the file is not readable YAML.
        UnknownName: a section, a key, or what a setting names does not exist; the text names the near one.
    """
    top: dict[str, Given] = {}
    layers: _Layers = {}
    if config_file is not None:
        top, layers = _read_file(pathlib.Path(config_file), application.name)
    for override in overrides:
        section, key, given = _read_override(override)
        layers.setdefault(section, {})[key] = given
    chosen = data or str(top["data"].value if "data" in top else "")
    built = {
        name: _build_section(name, getattr(application, name, kind()), layers.get(name, {}))
        for name, kind in sections().items()
    }
    for name, section in built.items():
        _check_names(name, section, layers.get(name, {}), f"applications/{application.name}/app.py")
    return RunConfig(application=application.name, data=chosen, **built)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Returns plain dicts, lists and scalars, fit for JSON and YAML; no secret is among them."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain


def from_dict(stored: Mapping[str, Any]) -> RunConfig:
    """Reads what `to_dict` gave.

    Raises:
        ConfigError: the version is not this one, the application is missing, or a value is not valid.
        UnknownName: a section or key does not exist.
    """
    place = "the stored configuration"
    _check_version(stored.get("version"), place)
    application = stored.get("application")
    if not isinstance(application, str) or not application:
        raise ConfigError(f"{place} must name its application, got {application!r}. Start a new run.")
    kinds = sections()
    for name in stored:
        if name not in kinds and name not in _TOP_KEYS:
            raise _unknown(name, place)
    built = {}
    for name, kind in kinds.items():
        layer = {
            key: Given(key=f"{name}.{key}", value=value, place=place)
            for key, value in _mapping(stored.get(name, {}), name, place).items()
        }
        for key in layer:
            _check_key(name, key, place)
        built[name] = _build_section(name, kind(), layer)
    return RunConfig(application=application, data=str(stored.get("data", "")), **built)


def _read_file(path: pathlib.Path, application: str) -> tuple[dict[str, Given], _Layers]:
    """Reads the YAML file; every value knows its line."""
    top: dict[str, Given] = {}
    layers: _Layers = {}
    for name, (value, place) in config_values.read_yaml(path).items():
        if name in sections():
            layers[name] = {}
            for key, (inner, inner_place) in config_values.pairs(value, name, place).items():
                _check_key(name, key, inner_place)
                layers[name][key] = Given(key=f"{name}.{key}", value=config_values.plain(inner), place=inner_place)
        elif name in _TOP_KEYS:
            top[name] = Given(key=name, value=config_values.plain(value), place=place)
        else:
            raise _unknown(name, place)
    if "version" in top:
        _check_version(top["version"].value, top["version"].place)
    if "application" in top and top["application"].value != application:
        raise ConfigError(
            f"{top['application'].place} is for {top['application'].value!r}, but the run is of {application!r}. "
            f"Give a file for {application!r}, or leave its `application:` line out."
        )
    if "data" in top and not isinstance(top["data"].value, str):
        raise ConfigError(f"data must be text (a path), got {top['data'].value!r} ({top['data'].place}).")
    return top, layers


def _read_override(text: str) -> tuple[str, str, Given]:
    """Splits one `--set` word into section, key and value."""
    key, equals, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    place = f"--set {text}"
    if not equals or not dot:
        hint = near_key(key.strip())
        raise ConfigError(
            f"--set takes section.key=value, such as train.epochs=10, got {text!r}."
            + (f" Did you mean --set {hint}={value or '…'}?" if hint else "")
        )
    if section not in sections():
        raise _unknown(section, place)
    _check_key(section, name, place)
    return section, name, Given(key=f"{section}.{name}", value=value, place=place, is_text=True)


def near_key(name: str) -> str:
    """Returns the full key whose last part is `name`, such as `train.epochs` for `epochs`; "" where none is."""
    keys = [f"{section}.{field.name}" for section, kind in sections().items() for field in dataclasses.fields(kind)]
    return next((key for key in keys if name in (key, key.split(".")[1])), "")


def _build_section(name: str, base: _Section, layer: Mapping[str, Given]) -> _Section:
    """Replaces the given values in `base`; errors say where a value came from."""
    hints = config_values.field_types(type(base))
    values = {key: config_values.convert(given, hints[key], getattr(base, key)) for key, given in layer.items()}
    try:
        return dataclasses.replace(base, **values)  # type: ignore[type-var]
    except ConfigError as error:
        named = [given.place for key, given in layer.items() if f"{name}.{key}" in str(error)]
        raise ConfigError(f"{error}" + (f" It comes from {' and '.join(named)}." if named else "")) from error


def _check_names(name: str, section: Any, layer: Mapping[str, Given], spec: str) -> None:
    """Refuses names that nothing has; `spec` is the place of what no layer gives."""
    for key, kind in config_values.field_types(type(section)).items():
        is_literal = typing.get_origin(kind) is typing.Literal
        known = typing.get_args(kind) if is_literal else tuple(CHOICES.get(f"{name}.{key}", ()))
        value = getattr(section, key)
        for word in value if isinstance(value, tuple) else (value,):
            if known and word not in known:
                raise _placed(UnknownName(f"{name}.{key}", word, known), layer[key].place if key in layer else spec)


def _check_key(section: str, key: str, place: str) -> None:
    """Refuses a key that the section does not have."""
    known = [field.name for field in dataclasses.fields(sections()[section])]
    if key not in known:
        raise _placed(UnknownName(f"{section} setting", key, known), place)


def _unknown(section: str, place: str) -> UnknownName:
    """Returns the error for a section that does not exist."""
    return _placed(UnknownName("configuration section", section, list(sections())), place)


def _placed(error: UnknownName, place: str) -> UnknownName:
    """Puts the place before the error's text."""
    error.args = (f"{place}: {error}",)
    return error


def _check_version(version: object, place: str) -> None:
    """Refuses a layout this program does not know."""
    if version != VERSION or isinstance(version, bool):
        raise ConfigError(
            f"configuration version must be {VERSION}, got {version!r} ({place}). "
            "It was written by another Earthloop; use that version, or write the file anew from `earthloop describe`."
        )


def _mapping(value: object, name: str, place: str) -> Mapping[str, Any]:
    """Refuses a section that is not a mapping."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"section {name!r} must be a mapping of settings, got {value!r} ({place}).")
    return value
