from __future__ import annotations

import hashlib

from serving import learnt_from


def test_what_is_written_is_read_back_once_each_and_short(tmp_path):
    digests = [hashlib.sha256(text).hexdigest() for text in (b"a", b"b", b"b")]
    learnt_from.write(str(tmp_path), digests)
    assert learnt_from.read(tmp_path) == {digests[0][:16], digests[1][:16]}


def test_a_model_that_does_not_say_is_told_from_one_that_learnt_from_nothing(tmp_path):
    assert learnt_from.read(tmp_path) is None
    learnt_from.write(str(tmp_path), [])
    assert learnt_from.read(tmp_path) == frozenset()


def test_what_weights_have_learnt_from_lies_beside_them_and_joins_what_a_later_training_learns_from(tmp_path):
    first, second = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b"))
    weights = str(tmp_path / "network.weights.h5")
    learnt_from.write_beside(weights, [first])
    assert (tmp_path / "network.learnt_from.txt").read_text() == f"{first[:16]}\n"
    learnt_from.write(str(tmp_path), {second, *(learnt_from.of_weights(weights) or ())})
    assert learnt_from.read(tmp_path) == {first[:16], second[:16]}


def test_weights_without_a_list_are_noted_and_no_weights_are_not(tmp_path, caplog):
    with caplog.at_level("INFO", logger="earthloop.progress"):
        assert learnt_from.of_weights("") == frozenset()
        assert not caplog.records
        assert learnt_from.of_weights(str(tmp_path / "w.weights.h5")) is None
    assert f"cannot be told: there is no {tmp_path / 'w.learnt_from.txt'}" in caplog.text
