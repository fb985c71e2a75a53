"""What earlier replays left."""

from __future__ import annotations

import json

import pytest

from pipeline.replay.cache import Cache
from pipeline.replay.inputs import Outputs
from pipeline.replay.storage import Storage

URI = "minio://bucket/run/model"


@pytest.fixture
def cache(tmp_path):
    file = tmp_path / "store" / "minio" / "bucket" / "run" / "model" / "saved_model.pb"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"graph")
    cache = Cache(tmp_path / "cache", Storage(tmp_path / "store"))
    empty = [{"name": "2", "uri": "minio://bucket/run/empty", "metadata": {}}]
    cache.put("key", Outputs(artifacts={"model": [{"name": "1", "uri": URI, "metadata": {}}], "empty": empty}))
    return cache


def test_what_lies_in_the_store_is_known_and_what_never_did_is_no_matter(cache):
    assert cache.get("key").artifacts["model"][0]["uri"] == URI
    assert cache.get("other") is None


def test_what_is_gone_from_the_store_is_not_known(cache):
    (cache.storage.path(URI) / "saved_model.pb").unlink()  # the folder stays
    assert cache.get("key") is None


@pytest.mark.parametrize("text", ["", json.dumps({"artifacts": {}, "parameters": {}})])
def test_a_broken_file_and_one_that_does_not_tell_what_was_stored_are_misses(cache, text):
    (cache.folder / "key.json").write_text(text)
    assert cache.get("key") is None
