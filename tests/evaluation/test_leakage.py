"""The audit's cores: what leaks is found, what does not is left alone, and the probe tells how much it would matter."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from applications.settings import EvaluateSettings
from evaluation import leak_probe, leakage

SETTINGS = EvaluateSettings(resamples=200)


def items(splits: str, groups: str, labels: str, hashes: list[int]) -> leakage.Items:
    """One item per letter: t, v and e are train, validation and test (evaluation)."""
    names = {"t": "train", "v": "validation", "e": "test"}
    return leakage.Items(
        origins=[f"item {place}" for place in range(len(splits))],
        splits=[names[letter] for letter in splits],
        groups=list(groups),
        labels=list(labels),
        sha256=[hashlib.sha256(str(place).encode()).hexdigest() for place in range(len(splits))],
        hashes=np.array(hashes, np.uint64),
    )


def test_only_near_hashes_in_different_splits_are_candidates() -> None:
    held = items("ttev", "abcd", "xxxx", [0b0, 0b1, 0b11, 0xFFFF])
    assert leakage.candidate_pairs(held, 1).tolist() == [[1, 2]]
    assert leakage.candidate_pairs(held, 2).tolist() == [[0, 2], [1, 2]]


def test_candidates_are_found_across_blocks_of_rows() -> None:
    random = np.random.default_rng(1)
    hashes = random.integers(0, 2**63, 700).tolist()
    hashes[651] = hashes[3]  # both in the test split
    hashes[650] = hashes[5]
    held = items("te" * 350, "a" * 700, "x" * 700, hashes)
    assert leakage.candidate_pairs(held, 3).tolist() == [[5, 650]]


def test_thumbnails_that_differ_clear_a_candidate() -> None:
    held = items("te", "ab", "xx", [5, 5])
    pairs = leakage.candidate_pairs(held, 3)
    dark, bright = np.full((8, 8, 3), 10, np.uint8), np.full((8, 8, 3), 200, np.uint8)
    assert leakage.alike_pairs(held, pairs, np.stack([dark, bright]), 3).tolist() == []
    assert leakage.alike_pairs(held, pairs, np.stack([dark, dark]), 3).tolist() == [[0, 1]]


def test_a_group_in_two_splits_is_not_clean() -> None:
    found = leakage.findings(items("tteev", "abbcd", "xyxyx", [1, 2, 3, 4, 5]), np.zeros((0, 2), np.intp))
    assert found["is_clean"] is False
    assert found["groups_in_two_splits"] == [{"group": "b", "splits": ["test", "train"]}]
    assert found["groups_in_two_splits_count"] == 1


def test_look_alikes_are_named_nearest_first_and_all_counted() -> None:
    held = items("t" * 30 + "e" * 30, "".join(chr(65 + place) for place in range(60)), "x" * 60, [1] * 59 + [0])
    pairs = np.array([[place, 59 - place] for place in range(30)])
    found = leakage.findings(held, pairs)
    assert found["near_duplicates_across_splits_count"] == 30
    assert len(found["near_duplicates_across_splits"]) == leakage.NAMED_AT_MOST
    assert found["near_duplicates_across_splits"][0] == {
        "a": {"origin": "item 1", "split": "train"},
        "b": {"origin": "item 58", "split": "test"},
        "bits": 0,
    }
    assert found["is_clean"] is False


def test_sizes_groups_and_classes_of_each_split_are_counted() -> None:
    found = leakage.findings(items("tttev", "aabcd", "xyxyx", [1, 2, 3, 4, 5]), np.zeros((0, 2), np.intp))
    assert found["is_clean"] is True
    assert found["splits"]["train"] == {"items": 3, "groups": 2, "classes": {"x": 2, "y": 1}}
    assert found["splits"]["test"] == {"items": 1, "groups": 1, "classes": {"x": 0, "y": 1}}
    assert found["largest_class_share_gap"] == pytest.approx(0.6)


def test_the_sample_does_not_depend_on_the_order_of_the_data() -> None:
    names = [hashlib.sha256(str(place).encode()).hexdigest() for place in range(50)]
    picked = {names[place] for place in leak_probe.sample(names, 10)}
    backward = names[::-1]
    assert {backward[place] for place in leak_probe.sample(backward, 10)} == picked
    assert len(picked) == 10


def test_the_sample_takes_whole_groups() -> None:
    groups = [f"scene {place // 5}" for place in range(200)]
    picked = [groups[place] for place in leak_probe.sample(groups, 50)]
    assert len(set(picked)) == 10


def world(copies: int) -> tuple[list[str], list[str], list[str], np.ndarray]:
    """Scenes without any sign of their class, each seen so many times; scenes are the groups and lie in one split."""
    random = np.random.default_rng(2)
    scenes = 240 // copies
    base = random.integers(0, 256, (scenes, 8, 8, 3))
    scene = np.repeat(np.arange(scenes), copies)
    thumbnails = np.clip(base[scene] + random.integers(-5, 6, (len(scene), 8, 8, 3)), 0, 255).astype(np.uint8)
    labels = random.choice(["x", "y", "z"], scenes)[scene].tolist()
    splits = np.where(scene < scenes * 0.6, "train", "test").tolist()
    return splits, labels, [str(number) for number in scene], thumbnails


def test_the_probe_sees_what_a_random_split_of_bursts_would_add() -> None:
    found = leak_probe.random_split_gap(*world(copies=6), SETTINGS)
    assert found is not None
    assert found["grouped"]["value"] < 0.5
    assert found["random"]["value"] > 0.9
    assert found["gap"]["low"] > 0.2
    assert "would have flattered a random split" in found["sentence"]


def test_without_copies_the_probe_finds_no_gap() -> None:
    found = leak_probe.random_split_gap(*world(copies=1), SETTINGS)
    assert found is not None
    assert found["gap"]["low"] < 0 < found["gap"]["high"]
    assert found["sentence"].endswith("no more than chance, so near-copies do not flatter the test score.")


def test_the_probe_needs_a_train_and_a_test_split() -> None:
    splits, labels, groups, thumbnails = world(copies=1)
    assert leak_probe.random_split_gap(["train"] * len(splits), labels, groups, thumbnails, SETTINGS) is None
