"""The synthetic folders are what their truth says, and a problem that takes looking at shape and texture."""

from __future__ import annotations

import hashlib
import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from applications import discovery
from applications.errors import ConfigError, OutputError
from applications.formats.images import read_image
from applications.formats.perceptual import looks_alike
from applications.formats.refusal import REASONS, Refused
from applications.formats.synthetic_plan import class_counts, plan_files


def digest(path) -> str:
    parts = [
        str(file.relative_to(path)).encode() + file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def reason_of(data: bytes) -> str:
    try:
        read_image(data, max_pixels=50_000_000)
    except Refused as refused:
        return refused.reason
    return ""


def held_out_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Ridge regression onto the classes, squares and products included; fitted on two of three items."""
    features = (features - features.mean(0)) / (features.std(0) + 1e-9)
    pairs = list(itertools.combinations_with_replacement(range(features.shape[1]), 2))
    wide = np.column_stack([np.ones(len(features)), features, *(features[:, a] * features[:, b] for a, b in pairs)])
    targets = np.eye(labels.max() + 1)[labels]
    test = np.arange(len(labels)) % 3 == 0
    fitted = np.linalg.solve(wide[~test].T @ wide[~test] + 3.0 * np.eye(wide.shape[1]), wide[~test].T @ targets[~test])
    return float(((wide[test] @ fitted).argmax(1) == labels[test]).mean())


def texture(rgb: np.ndarray) -> list[float]:
    """How much structure there is at each scale, along both axes, and how uneven it is."""
    luma = rgb.mean(2)
    found = [np.log(luma.std() + 1)]
    for _ in range(4):
        down, across = np.diff(luma, axis=0), np.diff(luma, axis=1)
        found += [np.log(down.std() + across.std() + 1), abs(np.log((down.std() + 1) / (across.std() + 1)))]
        found.append(np.log(np.abs(across).mean() + 0.1) - np.log(across.std() + 0.1))
        height, width = (side // 2 * 2 for side in luma.shape)
        luma = luma[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    return found


def test_truth_lists_every_file_once(made):
    on_disk = {str(file.relative_to(made.path)) for file in made.path.glob("*/*")}
    damaged = {one["origin"] for one in made.truth["damaged"]}
    assert on_disk == set(made.truth["files"]) | damaged
    assert len(on_disk) == made.truth["items"] == made.source.inspect(str(made.path)).items == 600
    assert made.source.inspect(str(made.path)).items_by_class == made.truth["classes"]


def test_every_file_is_read_or_refused_as_truth_says(made):
    expected = {one["origin"]: one["reason"] for one in made.truth["damaged"]}
    twice = "duplicate in another class"
    for file in made.path.glob("*/*"):
        origin = str(file.relative_to(made.path))
        known = expected.get(origin, "")
        assert reason_of(file.read_bytes()) == ("" if known == twice else known), origin
    assert set(expected.values()) == set(REASONS)
    assert len(expected) / made.truth["items"] <= 0.03


def test_doubles_are_the_same_bytes_under_two_labels(made):
    twice = [one for one in made.truth["damaged"] if one["reason"] == "duplicate in another class"]
    contents = {}
    for one in twice:
        contents.setdefault((made.path / one["origin"]).read_bytes(), set()).add(one["origin"].split("/")[0])
    assert twice
    assert all(len(labels) >= 2 for labels in contents.values())


def test_known_near_duplicates_are_found_and_others_are_not(made):
    images = {origin: read_image((made.path / origin).read_bytes(), max_pixels=10**6) for origin in made.truth["files"]}
    origins = sorted(images)
    scenes = [made.truth["files"][origin]["scene"] for origin in origins]
    wanted = found = false = 0
    for (a, scene_a), (b, scene_b) in itertools.combinations(zip(origins, scenes, strict=True), 2):
        one, other = images[a], images[b]
        is_alike = looks_alike(one.thumbnail, other.thumbnail, one.perceptual_hash, other.perceptual_hash, 7)
        wanted += scene_a == scene_b
        found += scene_a == scene_b and is_alike
        false += scene_a != scene_b and is_alike
    assert wanted >= 15
    assert found >= 0.8 * wanted
    assert false <= 3  # of some 170,000 pairs; to group two strangers costs nothing


def test_mean_colour_tells_little_and_texture_tells_much(made):
    names = list(made.truth["files"])
    pictures = [np.asarray(Image.open(io.BytesIO((made.path / name).read_bytes())), np.float64) for name in names]
    labels = np.array([made.application.classes.index(made.truth["files"][name]["label"]) for name in names])
    order = np.random.default_rng(1).permutation(len(names))
    colour = held_out_accuracy(np.array([one.mean((0, 1)) for one in pictures])[order], labels[order])
    textures = held_out_accuracy(np.array([texture(one) for one in pictures])[order], labels[order])
    assert colour <= 0.40
    assert textures >= 0.65
    assert textures >= colour + 0.3


def test_classes_are_uneven(made):
    counts = made.truth["classes"].values()
    assert 2 <= max(counts) / min(counts) <= 4


@pytest.mark.parametrize("name", discovery.names())
def test_the_seed_decides_every_byte(name, tmp_path):
    source = discovery.source(discovery.load(name))
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        source.synthesize(str(tmp_path / folder), items=60, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_a_folder_that_holds_anything_is_left_as_it_is(tmp_path):
    source = discovery.source(discovery.load("satellite/landcover"))
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match=r"need a new or empty folder, but .* holds files"):
        source.synthesize(str(tmp_path), items=40, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_too_few_items_and_a_negative_seed_are_refused(tmp_path):
    source = discovery.source(discovery.load("satellite/landcover"))
    with pytest.raises(ConfigError, match=r"items must be at least 40 \(4 per class\), got 39"):
        source.synthesize(str(tmp_path / "data"), items=39, seed=1)
    with pytest.raises(ConfigError, match=r"seed must be 0 or above, got -1"):
        source.synthesize(str(tmp_path / "data"), items=40, seed=-1)


@given(
    shares=st.dictionaries(st.text("abcdef", min_size=1), st.floats(0.1, 10), min_size=2, max_size=12),
    more=st.integers(0, 3000),
)
def test_a_plan_has_as_many_files_as_asked_for_and_enough_good_ones(shares, more):
    items = 4 * len(shares) + more
    planned = plan_files(shares, items, seed=1)
    assert len(planned) == sum(class_counts(shares, items).values()) == items
    assert len({(entry.label, entry.number) for entry in planned}) == items
    for name in shares:
        good = [entry for entry in planned if entry.label == name and entry.role == "scene"]
        assert len(good) >= 3
        assert [entry.scene for entry in good] == list(range(len(good)))
