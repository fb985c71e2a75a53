"""The plan: a function of the set of items, whatever their order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from applications.settings import IngestSettings, SplitSettings
from components.ingest.plan import Fact, make_plan

SPLIT = SplitSettings(seed=3)
INGEST = IngestSettings()


def fact(origin: str, content: int, label: str, group: str = "") -> Fact:
    sha256 = hashlib.sha256(str(content).encode()).hexdigest()
    thumbnail = hashlib.shake_128(sha256.encode()).digest(192)
    return Fact(origin, sha256, label, group, sha256[:16], thumbnail, 10)


@st.composite
def facts(draw: st.DrawFn) -> list[Fact]:
    contents = draw(st.lists(st.integers(0, 15), max_size=30))
    labels = st.sampled_from(["a", "b"])
    return [fact(f"{place}", content, draw(labels)) for place, content in enumerate(contents)]


@given(items=facts(), shuffle=st.randoms())
def test_the_order_of_the_items_does_not_matter(items: Sequence[Fact], shuffle: st.randoms) -> None:
    other = list(items)
    shuffle.shuffle(other)
    assert make_plan(items, [], "content", INGEST, SPLIT) == make_plan(other, [], "content", INGEST, SPLIT)


@given(items=facts())
def test_every_item_is_placed_or_refused_and_no_group_is_in_two_splits(items: Sequence[Fact]) -> None:
    plan = make_plan(items, [], "content", INGEST, SPLIT)
    refused = {refusal.origin for refusal in plan.refused}
    assert refused | set(plan.places) == {item.origin for item in items}
    assert not refused & set(plan.places)
    assert len({place.group for place in plan.places.values()}) == len(set(plan.places.values()))


@given(items=facts())
def test_no_content_is_left_under_two_labels(items: Sequence[Fact]) -> None:
    plan = make_plan(items, [], "content", INGEST, SPLIT)
    kept = {(item.sha256, item.label) for item in items if item.origin in plan.places}
    assert len(kept) == len({sha256 for sha256, _ in kept})


def test_copies_in_one_class_stay_together() -> None:
    plan = make_plan([fact("x", 1, "a"), fact("y", 1, "a")], [], "content", INGEST, SPLIT)
    assert plan.places["x"] == plan.places["y"]
    assert plan.summary["largest_group"] == 2


def test_an_item_without_a_group_of_its_source_is_a_group_of_its_own() -> None:
    items = [fact("x", 1, "a", "site 1"), fact("y", 2, "a")]
    plan = make_plan(items, [], "site", INGEST, SPLIT)
    assert plan.places["x"].group == "site 1"
    assert plan.places["y"].group == items[1].sha256


def test_the_share_of_bad_items_counts_every_refusal() -> None:
    plan = make_plan([fact("x", 1, "a"), fact("y", 1, "b"), fact("z", 2, "b")], [], "content", INGEST, SPLIT)
    assert plan.summary["bad_share"] == 2 / 3
    assert plan.summary["items_read"] == 3
