"""The plan: a function of the set of items, whatever their order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from applications.formats.source import Item
from applications.settings import IngestSettings, SplitSettings
from components.ingest.plan import make_plan

SPLIT = SplitSettings(seed=3)
INGEST = IngestSettings()
GROUP_BY = st.sampled_from(["content", "site"])


def item(origin: str, content: int, label: str, group: str = "") -> Item:
    """An item whose look follows from its content; equal contents are copies, all others are strangers."""
    sha256 = hashlib.sha256(str(content).encode()).hexdigest()
    thumbnail = hashlib.shake_128(sha256.encode()).digest(192)
    return Item(origin, origin.encode(), sha256, label, group, sha256[:16], thumbnail, 10, {})


def copy_of(original: Item, origin: str, group: str) -> Item:
    """A near-duplicate: other bytes, the same look."""
    sha256 = hashlib.sha256(origin.encode()).hexdigest()
    return original._replace(origin=origin, sha256=sha256, group=group)


def flat(origin: str, group: str) -> Item:
    """Open water: all of it looks the same."""
    plain = item(origin, int.from_bytes(origin.encode(), "big"), "a", group)
    return plain._replace(perceptual_hash="0" * 16, thumbnail=bytes([20, 60, 90] * 64))


@st.composite
def item_lists(draw: st.DrawFn) -> list[Item]:
    contents = draw(st.lists(st.integers(0, 15), max_size=30))
    labels, groups = st.sampled_from(["a", "b"]), st.sampled_from(["", "site 1", "site 2", "site 3"])
    return [item(f"{place}", content, draw(labels), draw(groups)) for place, content in enumerate(contents)]


@given(items=item_lists(), shuffle=st.randoms(), group_by=GROUP_BY)
def test_the_order_of_the_items_does_not_matter(items: Sequence[Item], shuffle: st.randoms, group_by: str) -> None:
    other = list(items)
    shuffle.shuffle(other)
    assert make_plan(items, [], group_by, INGEST, SPLIT) == make_plan(other, [], group_by, INGEST, SPLIT)


@given(items=item_lists(), group_by=GROUP_BY)
def test_every_item_is_placed_or_refused_and_no_group_is_in_two_splits(items: Sequence[Item], group_by: str) -> None:
    plan = make_plan(items, [], group_by, INGEST, SPLIT)
    refused = {refusal.origin for refusal in plan.refused}
    assert refused | set(plan.places) == {item.origin for item in items}
    assert not refused & set(plan.places)
    assert len({place.group for place in plan.places.values()}) == len(set(plan.places.values()))


@given(items=item_lists())
def test_no_content_is_left_under_two_labels(items: Sequence[Item]) -> None:
    plan = make_plan(items, [], "content", INGEST, SPLIT)
    kept = {(item.sha256, item.label) for item in items if item.origin in plan.places}
    assert len(kept) == len({sha256 for sha256, _ in kept})


def test_copies_in_one_class_stay_together() -> None:
    plan = make_plan([item("x", 1, "a"), item("y", 1, "a")], [], "content", INGEST, SPLIT)
    assert plan.places["x"] == plan.places["y"]
    assert plan.summary["largest_group"] == 2


def test_an_item_without_a_group_of_its_source_is_a_group_of_its_own() -> None:
    items = [item("x", 1, "a", "site 1"), item("y", 2, "a")]
    plan = make_plan(items, [], "site", INGEST, SPLIT)
    assert plan.places["x"].group == "site 1"
    assert plan.places["y"].group == items[1].sha256


def test_groups_that_share_a_look_alike_become_one_and_keep_the_name_that_sorts_first() -> None:
    first, second, third, fourth = (item(f"{number}", number, "a", f"site {number}") for number in range(1, 5))
    items = [first, second, third, fourth, copy_of(third, "copy 3", "site 1"), copy_of(second, "copy 2", "site 3")]
    plan = make_plan(items, [], "site", INGEST, SPLIT)
    groups = {origin: place.group for origin, place in plan.places.items()}
    assert groups == {**dict.fromkeys(["1", "2", "3", "copy 2", "copy 3"], "site 1"), "4": "site 4"}
    assert plan.summary["groups_joined"] == 3
    assert plan.summary["groups"] == 2


@given(items=item_lists())
def test_no_look_alikes_are_in_two_groups_whatever_groups_the_source_knows(items: Sequence[Item]) -> None:
    groups = {origin: place.group for origin, place in make_plan(items, [], "site", INGEST, SPLIT).places.items()}
    kept = [one for one in items if one.origin in groups]
    assert len({(one.sha256, groups[one.origin]) for one in kept}) == len({one.sha256 for one in kept})
    assert len({(one.group, groups[one.origin]) for one in kept if one.group}) == len(
        {o.group for o in kept if o.group}
    )


def test_flat_images_join_no_groups_of_the_source_but_are_one_group_where_it_knows_none() -> None:
    items = [flat("x", "site 1"), flat("y", "site 2")]
    plan = make_plan(items, [], "site", INGEST, SPLIT)
    assert [plan.places[origin].group for origin in "xy"] == ["site 1", "site 2"]
    assert plan.summary["groups_joined"] == 0
    by_content = make_plan(items, [], "content", INGEST, SPLIT)
    assert by_content.places["x"] == by_content.places["y"]
    assert "groups_joined" not in by_content.summary


def test_the_share_of_bad_items_counts_every_refusal() -> None:
    plan = make_plan([item("x", 1, "a"), item("y", 1, "b"), item("z", 2, "b")], [], "content", INGEST, SPLIT)
    assert plan.summary["bad_share"] == 2 / 3
    assert plan.summary["items_read"] == 3
