"""Placeholders in command lines."""

from __future__ import annotations

import pathlib

import pytest

from applications.errors import StageError
from pipeline.replay.placeholders import fill

STAGING = pathlib.Path("/staging")
INPUT = {
    "inputs": {
        "parameterValues": {"word": "tide", "share": 0.5, "flag": True, "trap": "{{$.inputs.parameters['word']}}"},
        "artifacts": {"found": {"artifacts": [{"uri": "s3://b/found"}]}},
    },
    "outputs": {
        "artifacts": {"made": {"artifacts": [{"uri": "gs://b/made"}]}},
        "parameters": {"count": {"outputFile": "/staging/tmp/kfp/outputs/count"}},
    },
}


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("--word={{$.inputs.parameters['word']}}!", "--word=tide!"),
        ("{{$.inputs.parameters['share']}}", "0.5"),
        ("{{$.inputs.parameters['flag']}}", "true"),
        ("{{$.inputs.parameters['trap']}}", "{{$.inputs.parameters['word']}}"),
        ("{{$.inputs.artifacts['found'].uri}}", "s3://b/found"),
        ("{{$.inputs.artifacts['found'].path}}", "/staging/s3/b/found"),
        ("{{$.outputs.artifacts['made'].path}}", "/staging/gcs/b/made"),
        ("{{$.outputs.parameters['count'].output_file}}", "/staging/tmp/kfp/outputs/count"),
        ("plain {braces}", "plain {braces}"),
    ],
)
def test_a_placeholder_is_filled(word, filled):
    assert fill([word], INPUT, STAGING) == [filled]


def test_a_conditional_word_becomes_none_one_or_several():
    then = '{"IfPresent": {"InputName": "word", "Then": ["--word", "{{$.inputs.parameters[\'word\']}}"]}}'
    other = '{"IfPresent": {"InputName": "wind", "Then": "a", "Else": "calm"}}'
    nothing = '{"IfPresent": {"InputName": "wind", "Then": "a"}}'
    assert fill([then, other, nothing], INPUT, STAGING) == ["--word", "tide", "calm"]


@pytest.mark.parametrize("word", ["{{$.json_escape[1]}}", "{{$.inputs.parameters['wind']}}"])
def test_what_the_launcher_would_pass_on_as_it_is_is_refused(word):
    with pytest.raises(StageError, match=r"no value for the placeholder .*; there are: \{\{\$\}\}, "):
        fill([word], INPUT, STAGING)
