from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.policy import Action, Phase, Snapshot, next_action

PHASES = st.sampled_from(list(Phase))
VERSIONS = st.lists(
    st.builds(Snapshot, st.integers(1, 20), PHASES, st.booleans()), max_size=8, unique_by=lambda one: one.version
)


def test_a_new_version_is_loaded_before_the_old_one_goes():
    old, new = Snapshot(1, Phase.READY, is_wanted=False), Snapshot(2, Phase.NEW, is_wanted=True)

    assert next_action([old, new]) == Action(2, is_load=True)
    assert next_action([old, Snapshot(2, Phase.LOADING, is_wanted=True)]) is None
    assert next_action([old, Snapshot(2, Phase.READY, is_wanted=True)]) == Action(1, is_load=False)


def test_the_old_version_stays_when_the_new_one_is_broken():
    assert next_action([Snapshot(1, Phase.READY, is_wanted=False), Snapshot(2, Phase.ERROR, is_wanted=True)]) is None


def test_the_highest_new_version_is_loaded_first():
    new = [Snapshot(version, Phase.NEW, is_wanted=True) for version in (2, 9, 4)]

    assert next_action(new) == Action(9, is_load=True)


def test_everything_goes_when_nothing_is_wanted():
    ready = [Snapshot(version, Phase.READY, is_wanted=False) for version in (3, 2)]

    assert next_action(ready) == Action(2, is_load=False)
    assert next_action(ready[:1]) == Action(3, is_load=False)


@given(VERSIONS)
def test_the_last_version_that_answers_is_never_unloaded_while_one_is_wanted(versions):
    action = next_action(versions)
    ready = [one.version for one in versions if one.phase is Phase.READY]

    if action is not None and not action.is_load and any(one.is_wanted for one in versions):
        assert len(ready) > 1


@given(VERSIONS)
def test_only_unwanted_versions_are_unloaded_and_only_wanted_new_ones_loaded(versions):
    action = next_action(versions)
    by_version = {one.version: one for one in versions}

    if action is not None:
        expected = (Phase.NEW, True) if action.is_load else (Phase.READY, False)
        assert (by_version[action.version].phase, by_version[action.version].is_wanted) == expected


@given(VERSIONS)
def test_following_the_policy_ends_with_all_wanted_and_nothing_else(versions):
    here = {one.version: one for one in versions if one.phase in (Phase.NEW, Phase.READY)}
    for _ in range(100):
        action = next_action(list(here.values()))
        if action is None:
            break
        if action.is_load:
            here[action.version] = Snapshot(action.version, Phase.READY, here[action.version].is_wanted)
        else:
            del here[action.version]

    assert {one.version for one in here.values() if one.phase is Phase.READY} == {
        one.version for one in versions if one.is_wanted and one.phase in (Phase.NEW, Phase.READY)
    }
