"""A folder per class: what is an item, what is an error, and what comes out."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import uuid
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from applications import discovery
from applications.errors import DataError, DataPathError
from applications.formats import image_files
from applications.formats.image_folder import ImageFolder, list_files
from applications.formats.images import read_image
from applications.formats.refusal import Refusal, Refused
from applications.formats.source import Item
from applications.spec import Application

CLASSES = ("Forest", "River", "SeaLake")
APPLICATION = Application(
    name="satellite/trial", title="", summary="", task="classification", modality="image", source="", classes=CLASSES
)


def picture(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 20, 3), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Three classes of three pictures each."""
    for place, name in enumerate(CLASSES):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "data" / name / f"{number}.jpg").write_bytes(picture(place * 10 + number))
    return tmp_path / "data"


def inspect_error(path) -> str:
    with pytest.raises(DataError) as caught:
        ImageFolder(APPLICATION).inspect(str(path))
    return str(caught.value)


def test_files_of_every_class_are_counted(folder):
    (folder / "README.md").write_text("beside the classes")
    (folder / "River" / ".hidden").write_text("")
    (folder / ".git").mkdir()
    (folder / "River" / "notes.txt").write_text("an item, to be quarantined")
    (folder / "River" / "2019").mkdir()
    (folder / "River" / "2019" / "0.jpg").write_bytes(picture(99))
    inventory = ImageFolder(APPLICATION).inspect(str(folder))
    assert inventory.items_by_class == {"Forest": 3, "River": 5, "SeaLake": 3}
    assert inventory.items == 11


def test_a_missing_path_gets_a_near_name(folder):
    text = inspect_error(folder.parent / "dta")
    assert "does not exist. Did you mean 'data'?" in text
    assert "one folder per class of satellite/trial: Forest, River, SeaLake" in text


def test_a_file_is_not_a_data_path(folder):
    with pytest.raises(DataPathError, match=r"is a file, a folder is expected"):
        ImageFolder(APPLICATION).inspect(str(folder / "River" / "0.jpg"))


def test_an_unknown_class_folder_gets_a_near_name(folder):
    (folder / "Forest").rename(folder / "Forrest")
    text = inspect_error(folder)
    assert "'Forrest' is no class of satellite/trial; there are: Forest, River, SeaLake." in text
    assert "Did you mean 'Forest'?" in text


def test_an_empty_class_is_named(folder):
    for file in (folder / "River").iterdir():
        file.unlink()
    assert "class folder 'River' is empty" in inspect_error(folder)


def test_a_missing_class_is_named(folder):
    os.rename(folder / "River", folder / ".River")
    assert "class folder 'River' is missing. Add it" in inspect_error(folder)


def test_one_class_only_is_refused(folder):
    for name in ("River", "SeaLake"):
        os.rename(folder / name, folder / f".{name}")
    assert "only one class, 'Forest'" in inspect_error(folder)


def test_fewer_items_than_splits_are_refused(folder):
    (folder / "SeaLake" / "0.jpg").unlink()
    assert "class 'SeaLake' has fewer items (2) than there are splits (3: train, validation, test)" in inspect_error(
        folder
    )


def test_a_folder_one_level_too_high_is_guessed(folder):
    assert f"holds no class folder. Did you mean {str(folder)!r}?" in inspect_error(folder.parent)


def test_an_empty_folder_says_what_is_expected(tmp_path):
    assert "holds no class folder. Give a folder that has one folder per class" in inspect_error(tmp_path)


def keep(batch, folder):
    found = [tuple(item) for item in batch.items], [one.to_dict() for one in batch.refused]
    (folder / f"{uuid.uuid4()}").write_text(repr(found))


def read(source, path):
    """Runs the Beam transform; returns items by origin and refusals by origin."""
    import apache_beam as beam

    out = path.parent / "out"
    out.mkdir()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = pipeline | source.items(str(path)) | beam.Map(keep, out)
    kept = [ast.literal_eval(file.read_text()) for file in out.iterdir()]
    items = [Item(*fields) for found, _ in kept for fields in found]
    refused = [Refusal(**fields) for _, found in kept for fields in found]
    return {item.origin: item for item in items}, {one.origin: one for one in refused}


def test_every_file_becomes_an_item_or_a_refusal(folder):
    (folder / "River" / "notes.txt").write_text("hello")
    (folder / "River" / "empty.jpg").write_bytes(b"")
    (folder / "Forest" / "odd [name] *é.jpg").write_bytes(picture(77))
    os.symlink("nowhere", folder / "Forest" / "broken link.jpg")
    os.mkfifo(folder / "SeaLake" / "pipe.jpg")
    items, refused = read(ImageFolder(APPLICATION), folder)
    assert {origin: one.reason for origin, one in refused.items()} == {
        "River/notes.txt": "not an image",
        "River/empty.jpg": "zero bytes",
        "Forest/broken link.jpg": "unreadable",
        "SeaLake/pipe.jpg": "unreadable",
    }
    assert refused["River/notes.txt"].sha256 == hashlib.sha256(b"hello").hexdigest()
    assert refused["River/notes.txt"].bytes == 5
    assert len(items) == 10
    assert "Forest/odd [name] *é.jpg" in items


def test_an_item_says_all_that_is_known_of_its_file(folder):
    items, refused = read(ImageFolder(APPLICATION), folder)
    data = picture(21)
    image = read_image(data, max_pixels=1000)
    assert not refused
    assert items["SeaLake/1.jpg"] == Item(
        origin="SeaLake/1.jpg",
        address=b"SeaLake/1.jpg",
        sha256=hashlib.sha256(data).hexdigest(),
        label="SeaLake",
        group="",
        perceptual_hash=f"{image.perceptual_hash:016x}",
        thumbnail=image.thumbnail.tobytes(),
        content_bytes=len(data),
        values={
            "label_id": 2,
            "height_px": 16,
            "width_px": 20,
            "brightness": image.brightness,
            "contrast": image.contrast,
            "brightness_band": image.brightness_band,
        },
    )


def test_the_content_of_an_item_is_found_again_by_its_address(folder):
    (folder / "River" / "2019").mkdir()
    (folder / "River" / "2019" / "0.jpg").write_bytes(picture(99))
    assert ImageFolder(APPLICATION).content(f"{folder}/", b"River/2019/0.jpg") == picture(99)
    with pytest.raises(Refused, match="unreadable: No such file"):
        ImageFolder(APPLICATION).content(str(folder), b"River/gone.jpg")


def test_a_file_beyond_the_limit_is_refused(folder, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_BYTES", 100)
    with pytest.raises(Refused, match="unreadable: has more than"):
        ImageFolder(APPLICATION).content(str(folder), b"River/0.jpg")


def test_a_source_may_name_the_group(folder):
    class ByNumber(ImageFolder):
        def group(self, origin: str) -> str:
            return origin.rsplit("/", 1)[1]

    items, _ = read(ByNumber(APPLICATION), folder)
    assert Counter(item.group for item in items.values()) == {"0.jpg": 3, "1.jpg": 3, "2.jpg": 3}


def test_a_name_that_is_no_text_is_read_all_the_same(folder):
    with open(os.path.join(os.fsencode(folder), b"River", b"\xff\xfe.jpg"), "wb") as stream:
        stream.write(picture(5))
    items, _ = read(ImageFolder(APPLICATION), folder)
    address = items["River/\\xff\\xfe.jpg"].address
    assert ImageFolder(APPLICATION).content(str(folder), address) == picture(5)


def test_listing_is_sorted_whatever_the_file_system_says(folder):
    assert [file.decode() for file in list_files(str(folder))] == [
        f"{name}/{number}.jpg" for name in CLASSES for number in range(3)
    ]


@pytest.mark.parametrize(
    ("name", "folder", "items"),
    [("satellite/landcover", "eurosat_rgb", 4800), ("ocean/debris_material", "trashnet", 1897)],
)
def test_real_photographs_are_all_accepted(shared_data, name, folder, items):
    source = discovery.source(discovery.load(name))
    path = shared_data / folder
    assert source.inspect(str(path)).items == items
    for file in list_files(str(path)):
        read_image((path / os.fsdecode(file)).read_bytes(), max_pixels=50_000_000)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path):
    with pytest.raises(DataPathError, match=r"folder '.*gone' cannot be listed: No such file or directory. Mend"):
        list(list_files(str(tmp_path / "gone")))
