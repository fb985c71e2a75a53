"""Splits: a pure function of group and settings."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applications.settings import SplitSettings
from components.ingest.splits import share_of, split_of

SETTINGS = SplitSettings(train=0.7, validation=0.12, test=0.18, seed=1)
OF_SCENES_0_TO_7 = ["train", "train", "train", "train", "train", "validation", "train", "train"]


def test_shares_of_many_groups_come_close_to_the_settings() -> None:
    counts = collections.Counter(split_of(f"group-{number}", SETTINGS) for number in range(20_000))
    assert counts["train"] / 20_000 == pytest.approx(0.70, abs=0.015)
    assert counts["validation"] / 20_000 == pytest.approx(0.12, abs=0.015)
    assert counts["test"] / 20_000 == pytest.approx(0.18, abs=0.015)


def test_the_split_of_a_group_never_changes_between_releases() -> None:
    """A change here would move items from train to test under everybody's feet."""
    assert [split_of(f"scene {number}", SETTINGS) for number in range(8)] == OF_SCENES_0_TO_7


def test_another_seed_deals_the_groups_anew() -> None:
    other = SplitSettings(train=0.7, validation=0.12, test=0.18, seed=2)
    moved = sum(split_of(str(number), SETTINGS) != split_of(str(number), other) for number in range(2_000))
    assert 700 < moved < 1_200


@given(group=st.text(), seed=st.integers(0, 2**31))
def test_share_is_a_fraction_for_any_text(group: str, seed: int) -> None:
    assert 0 <= share_of(group, seed) < 1
    assert share_of(group, seed) == share_of(group, seed)


@given(group=st.text(), train=st.floats(0.1, 0.4), more=st.floats(0.01, 0.4))
def test_a_group_in_train_stays_there_when_train_grows(group: str, train: float, more: float) -> None:
    small = SplitSettings(train=train, validation=0.1, test=0.9 - train)
    large = SplitSettings(train=train + more, validation=0.1, test=0.9 - train - more)
    if split_of(group, small) == "train":
        assert split_of(group, large) == "train"
