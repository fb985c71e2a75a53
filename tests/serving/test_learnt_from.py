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
