from __future__ import annotations

import json

from serving import made_from

CONFIGURATION = {"data": "chips", "train": {"epochs": 3}, "local": {"stages_at_once": 2}}
MADE_WITH = json.dumps({"code_version": "c0de", "weights_digest": "w"})


def test_settings_that_change_no_model_do_not_change_the_digest_and_those_beside_them_do():
    def digest(**sections):
        return made_from.digest({**CONFIGURATION, **sections}, "d", "c", "w")

    one = digest(push={"destination": "serving", "keep_versions": 0}, metadata={"backend": "sqlite"})
    assert one == digest(push={"destination": "serving", "keep_versions": 3}, metadata={"backend": "mysql", "port": 1})
    assert one != digest(push={"destination": "elsewhere", "keep_versions": 0}, metadata={"backend": "sqlite"})


def test_every_part_changes_the_digest_but_how_the_machine_is_used():
    one = made_from.digest(CONFIGURATION, "d", "c", "w")
    others = {
        made_from.digest({**CONFIGURATION, "train": {"epochs": 4}}, "d", "c", "w"),
        made_from.digest(CONFIGURATION, "D", "c", "w"),
        made_from.digest(CONFIGURATION, "d", "C", "w"),
        made_from.digest(CONFIGURATION, "d", "c", "W"),
    }
    assert (len(one), len(others - {one})) == (16, 4)
    assert made_from.digest({**CONFIGURATION, "local": {"stages_at_once": 8}}, "d", "c", "w") == one


def test_a_stage_takes_the_digest_it_is_given_and_else_finds_it_out():
    text = json.dumps(CONFIGURATION)
    assert made_from.of_stage("given", text, MADE_WITH, "d") == "given"
    assert made_from.of_stage("", text, MADE_WITH, "d") == made_from.digest(CONFIGURATION, "d", "c0de", "w")


def test_where_too_little_is_told_there_is_no_digest():
    assert made_from.of_stage("", "", MADE_WITH, "d") == ""
    assert made_from.of_stage("", json.dumps(CONFIGURATION), "", "d") == ""
