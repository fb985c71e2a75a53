from __future__ import annotations

import json

import pytest

from applications import discovery
from applications.errors import ConfigError
from pipeline import config as configuration
from pipeline.kubeflow_parameters import PARAMETERS, applied, has_place

SETTINGS = json.dumps({"blessing": {"at_least": 0.5, "metric": "accuracy"}, "train": {"epochs": 64}})


def test_a_value_goes_where_the_name_of_its_input_says():
    told = {
        "settings": SETTINGS,
        "settings--blessing--at_least": 0.9,
        "settings--train--epochs": 3.0,
        "destination": "d",
    }
    final = applied(told)
    assert set(final) == {"settings", "destination"}
    assert json.loads(final["settings"]) == {
        "blessing": {"at_least": 0.9, "metric": "accuracy"},
        "train": {"epochs": 3},
    }
    assert '"epochs": 3}' in final["settings"]  # a whole number, as the settings ask


def test_text_into_which_nothing_new_is_put_stays_byte_by_byte():
    assert applied({"settings": SETTINGS, "settings--train--epochs": 64.0})["settings"] is SETTINGS


def test_a_whole_number_is_as_good_as_a_fraction_where_a_fraction_is_asked():
    final = applied({"settings": SETTINGS, "settings--blessing--at_least": 1})
    assert json.loads(final["settings"])["blessing"]["at_least"] == 1.0


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("settings--train--epochs", 2.5, "input 'settings--train--epochs' must be like 64, got 2.5"),
        ("settings--train--epochs", "many", "must be like 64, got 'many'. Start the run with another value."),
        ("settings--train--epoch", 3, "input 'settings--train--epoch' must name a setting that its task has."),
        ("other--train--epochs", 3, "Compile the pipeline again."),
    ],
)
def test_values_that_fit_nowhere_are_refused(name, value, text):
    with pytest.raises(ConfigError, match=text):
        applied({"settings": SETTINGS, name: value})


def test_every_parameter_that_has_a_place_in_the_configuration_names_it_rightly():
    config = configuration.resolve(discovery.load("satellite/landcover"), data="d")
    for parameter in PARAMETERS:
        assert has_place(configuration.to_dict(config), parameter.path), parameter.name
    assert [parameter.name for parameter in PARAMETERS if not parameter.path] == ["run_name", "run_unchanged"]
