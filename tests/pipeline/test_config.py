from __future__ import annotations

import dataclasses
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applications.errors import ConfigError, UnknownName, UsageError
from applications.settings import BlessingSettings, TrainSettings
from pipeline import config as configuration
from pipeline.config import resolve


@pytest.fixture
def application(chips):
    own = {"train": TrainSettings(epochs=12), "blessing": BlessingSettings(at_least=0.8)}
    return dataclasses.replace(chips, **own)


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(application, kind=ConfigError, **given_):
    with pytest.raises(kind) as caught:
        resolve(application, **given_)
    return str(caught.value)


def test_each_layer_overrides_the_one_before(application, written):
    assert resolve(application).train.batch_size == 64
    assert resolve(application).train.epochs == 12
    file = written("train:\n  epochs: 5\n  batch_size: 8\n")
    config = resolve(application, config_file=file, overrides=["train.epochs=3"])
    assert (config.train.epochs, config.train.batch_size, config.blessing.at_least) == (3, 8, 0.8)


def test_the_last_of_two_equal_overrides_counts(application):
    assert resolve(application, overrides=["train.epochs=3", "train.epochs=4"]).train.epochs == 4


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.learning_rate=1e-4", 1e-4),
        ("train.learning_rate=1", 1.0),
        ("train.class_weights=false", False),
        ("train.augment=flip, rotate", ("flip", "rotate")),
        ("train.augment=[]", ()),
        ("train.augment=", ()),
        ('beam.options=["--a=1,2", "--b"]', ("--a=1,2", "--b")),
        ("push.destination=a=b", "a=b"),
        ("validate.on_anomaly=warn", "warn"),
    ],
)
def test_a_word_of_the_command_line_takes_the_type_of_its_field(application, override, value):
    section, key = override.partition("=")[0].split(".")
    found = getattr(getattr(resolve(application, overrides=[override]), section), key)
    assert found == value
    assert type(found) is type(value)


def test_yaml_numbers_with_an_exponent_are_numbers(application, written):
    assert resolve(application, config_file=written("train:\n  learning_rate: 1e-3\n")).train.learning_rate == 0.001


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("train.epochs=many", r"train.epochs must be a whole number, got 'many' (--set train.epochs=many)."),
        ("train.epochs=3.5", "train.epochs must be a whole number, got '3.5'"),
        ("train.learning_rate=nan", "train.learning_rate must be a number, got 'nan'"),
        ("train.class_weights=perhaps", "train.class_weights must be true or false, got 'perhaps'"),
        ("validate.on_anomaly=stopp", "must be one of 'stop', 'warn', got 'stopp'"),
        ("validate.on_anomaly=stopp", "Did you mean 'stop'?"),
        ("train.epochs=0", "train.epochs must be at least 1, got 0. It comes from --set train.epochs=0."),
        ("split.train=0.9", "It comes from --set split.train=0.9."),
        ("epochs=3", "Did you mean --set train.epochs=3?"),
        ("train.epochs", "--set takes section.key=value"),
    ],
)
def test_a_wrong_override_is_named_with_its_value_and_what_is_expected(application, override, text):
    assert text in refusal(application, overrides=[override])


def test_unknown_names_are_listed_with_the_near_one(application, written):
    text = refusal(application, UnknownName, overrides=["train.epoch=3"])
    assert text.startswith(
        "--set train.epoch=3: no train setting 'epoch'; there are: model, weights, warm_start, width, epochs"
    )
    assert text.endswith("Did you mean 'epochs'?")
    assert "Did you mean 'train'?" in refusal(application, UnknownName, overrides=["trian.epochs=3"])
    assert refusal(application, UnknownName, config_file=written("\ntrian: {}\n")).startswith("mine.yaml line 2: ")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("train.model=resnet5", "--set train.model=resnet5: no train.model 'resnet5'; there are: mobilenet_v3,"),
        ("train.model=resnet5", "Did you mean 'resnet50'?"),
        ("train.augment=flip,rotat", "no train.augment 'rotat'; there are: flip, light, rotate, shift. Did you mean"),
        ("train.strategy=miror", "train.strategy must be one of 'none', 'mirrored', 'multi_worker', got 'miror'"),
    ],
)
def test_names_of_the_trainer_are_known_before_anything_is_trained(application, override, text):
    assert text in refusal(application, UsageError, overrides=[override])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"model": "tiny"}, "no train.model 'tiny'; there are: mobilenet_v3, resnet50, small_resnet."),
        ({"augment": ("flip", "spin")}, "no train.augment 'spin'"),
        ({"strategy": "miror"}, "no train.strategy 'miror'; there are: none, mirrored, multi_worker. Did you mean"),
    ],
)
def test_a_wrong_name_in_a_spec_is_told_with_its_file(application, wrong, text):
    spec = dataclasses.replace(application, train=TrainSettings(**wrong))
    assert refusal(spec, UnknownName).startswith(f"applications/{application.name}/app.py: {text}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("train:\n  epochs: '4'\n", "train.epochs must be a whole number, got '4' (mine.yaml line 2)"),
        ("train:\n  epochs: true\n", "must be a whole number, got True (mine.yaml line 2)"),
        ("train:\n  augment: flip\n", "train.augment must be a list of words, got 'flip' (mine.yaml line 2)"),
        ("train:\n  epochs: -1\n", "got -1. It comes from mine.yaml line 2."),
        ("train:\n  epochs: 4\n  epochs: 5\n", "mine.yaml line 3 gives it again"),
        ("train:\n  epochs: [\n", "mine.yaml line 3, column 1 is not valid YAML"),
        ("train: 5\n", "'train' must be a mapping of `key: value` lines, got 5 (mine.yaml line 1)"),
        ("- a\n", "must be a mapping"),
        ("train:\n  model: 2020-99-99\n", "line 2 has a value YAML cannot read"),
        ("version: 2\n", "configuration version must be 1, got 2 (mine.yaml line 1)"),
        ("application: ocean/other\n", "is for 'ocean/other', but the run is of 'test/chips'"),
        ("data: [a]\n", "data must be text (a path), got ['a']"),
    ],
)
def test_a_wrong_file_is_answered_with_its_line(application, written, text, error):
    assert error in refusal(application, config_file=written(text))


def test_a_missing_file_is_named(application, tmp_path):
    assert "no such file" in refusal(application, config_file=tmp_path / "none.yaml")


def test_an_empty_file_or_section_changes_nothing(application, written):
    assert resolve(application, config_file=written("")) == resolve(application)
    assert resolve(application, config_file=written("train:\n")) == resolve(application)


def test_the_stored_configuration_can_be_given_again(application, written):
    import yaml

    config = resolve(application, data="chips", overrides=["train.epochs=3", "train.augment=flip"])
    assert resolve(application, config_file=written(yaml.safe_dump(configuration.to_dict(config)))) == config


def test_a_stored_configuration_of_another_version_is_refused(application):
    stored = configuration.to_dict(resolve(application)) | {"version": 0}
    with pytest.raises(ConfigError, match="configuration version must be 1, got 0"):
        configuration.from_dict(stored)
    with pytest.raises(UnknownName, match="Did you mean 'train'"):
        configuration.from_dict(configuration.to_dict(resolve(application)) | {"trian": {}})


def test_no_password_is_stored(application, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    config = resolve(application, overrides=[f"metadata.password_file={secret}"])
    assert "hunter2" not in repr(configuration.to_dict(config))


@given(
    epochs=st.integers(1, 10**6),
    rate=st.floats(1e-9, 10, allow_nan=False),
    weights=st.booleans(),
    augment=st.lists(st.text(max_size=8), max_size=4),
    destination=st.text(max_size=20),
)
def test_what_is_stored_is_read_back_equal(epochs, rate, weights, augment, destination):
    train = TrainSettings(epochs=epochs, learning_rate=rate, class_weights=weights, augment=tuple(augment))
    config = configuration.RunConfig(application="ocean/foam", data=destination, train=train)
    assert configuration.from_dict(configuration.to_dict(config)) == config


def test_every_setting_says_what_it_is(project: pathlib.Path):
    from pipeline.reference import field_notes

    for section, kind in configuration.sections().items():
        notes = field_notes(kind)
        for field in dataclasses.fields(kind):
            assert field.name in notes, f"{section}.{field.name}"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["train.weights=w.weights.h5", "train.warm_start=true"], "both say where training starts, got 'w.weights.h5'"),
        (
            ["tune.enabled=true", "train.warm_start=true"],
            "tune.enabled looks for another width, got both true; set one",
        ),
    ],
)
def test_a_warm_start_is_refused_beside_what_contradicts_it(application, overrides, told):
    assert told in refusal(application, overrides=overrides)


def test_spans_of_ready_records_are_refused(application):
    told = refusal(application, data="field/{SPAN}", overrides=["ingest.format=tfrecord"])
    assert "spans are read from raw files alone, but ingest.format is 'tfrecord' and data is 'field/{SPAN}'" in told


def test_a_runner_that_beam_does_not_have_is_told_at_once(application):
    text = refusal(application, UnknownName, overrides=["beam.runner=FlinkRuner"])
    assert "no beam.runner 'FlinkRuner'; there are: FnApiRunner, DataflowRunner" in text
    assert text.endswith("Did you mean 'FlinkRunner'?")
    assert resolve(application, overrides=["beam.runner=my.beam.Runner"]).beam.runner == "my.beam.Runner"
