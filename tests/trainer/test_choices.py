"""The names that settings may have."""

from __future__ import annotations

import pytest

from applications.errors import UnknownName
from pipeline import source_hash
from trainer import choices


@pytest.mark.parametrize(
    ("setting", "name"), [(setting, name) for setting, known in choices.CHOICES.items() for name in known]
)
def test_every_name_stands_for_the_function_of_that_name(setting: str, name: str) -> None:
    assert choices.load(setting, name).__name__ == name


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"no train.augment 'shft'; there are: flip, .*shift. Did you mean 'shift'\?"):
        choices.load("train.augment", "shft")


def test_the_cache_sees_an_edit_of_what_a_name_stands_for() -> None:
    known = source_hash.closure(["trainer.classification"])
    for dotted in (dotted for names in choices.CHOICES.values() for dotted in names.values()):
        assert dotted.rpartition(".")[0] in known
