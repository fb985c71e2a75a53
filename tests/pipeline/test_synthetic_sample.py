from __future__ import annotations

import pathlib
from typing import ClassVar

import pytest

from applications import discovery
from applications.errors import DataError
from pipeline import synthetic_sample


class Toy:
    made: ClassVar[list[int]] = []

    def synthesize(self, out_dir, *, items, seed):
        self.made.append(items)
        (pathlib.Path(out_dir) / "item").write_text(f"{items} {seed}")
        if items == 13:
            raise ValueError("half way")


@pytest.fixture
def application(monkeypatch):
    monkeypatch.setattr(Toy, "made", [])
    monkeypatch.setattr(discovery, "source", lambda application: Toy())
    return discovery.load("satellite/landcover")


def test_a_sample_is_made_once_for_the_same_items_seed_and_code(application, tmp_path, monkeypatch):
    path = tmp_path / "data"
    assert synthetic_sample.ensure(application, path, items=5)
    assert not synthetic_sample.ensure(application, path, items=5)
    assert synthetic_sample.ensure(application, path, items=6)
    assert synthetic_sample.ensure(application, path, items=6, seed=2)
    monkeypatch.setattr(synthetic_sample.source_hash, "digest_of", lambda *modules: "new code")
    assert synthetic_sample.ensure(application, path, items=6, seed=2)
    assert Toy.made == [5, 6, 6, 6]
    assert (path / "item").read_text() == "6 2"


def test_a_sample_that_is_not_finished_is_never_in_its_place(application, tmp_path):
    with pytest.raises(ValueError, match="half way"):
        synthetic_sample.ensure(application, tmp_path / "data", items=13)
    assert not (tmp_path / "data").exists()
    assert synthetic_sample.ensure(application, tmp_path / "data", items=5)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_other_files_are_never_replaced(application, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine").write_text("")
    with pytest.raises(DataError, match=r"holds other files. To use them give --data"):
        synthetic_sample.ensure(application, tmp_path / "data", items=5)
