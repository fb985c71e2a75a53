"""Conditions of tasks."""

from __future__ import annotations

import pytest

from pipeline.replay.condition import ConditionError, evaluate, holds

NAMES = {
    "inputs": {
        "parameter_values": {"word": "tide", "count": 3, "flag": True},
        "artifacts": {"model": {"artifacts": [{"uri": "s3://b/m", "metadata": {"blessed": 1, "verdict": "good"}}]}},
    }
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(inputs.artifacts['model'].artifacts[0].metadata['blessed'] == 1.0)", True),
        ("!((inputs.artifacts['model'].artifacts[0].metadata['verdict'] == 'good'))", False),
        ("inputs.parameter_values['word'] == 'tide' && inputs.parameter_values['count'] > 2", True),
        ("int(inputs.parameter_values['count']) < 3 || inputs.parameter_values['flag']", True),
        ("inputs.parameter_values['flag'] ? 'yes' : 'no'", "yes"),
        ("1 + 2 * 3 == 7 && -1 < 0", True),
        ("(1 + 2) * 3", 9),
        ("'id' in inputs.parameter_values['word']", True),
        ("size(inputs.artifacts)", 1),
        ("parseJson('{\"a\": [1, 2]}')['a'][1]", 2),
        ("'it\\'s' != \"its\"", True),
        ("string(3) + 'm'", "3m"),
        ("double('2.5') >= 2.5", True),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-1 % 2", -1),
        ("7.0 / 2", 3.5),
        ("inputs.parameter_values['wind'] > 1 && false", False),
        ("false && inputs.parameter_values['wind'] > 1", False),
        ("inputs.parameter_values['wind'] > 1 || true", True),
        ("true || 3", True),
        ("true ? 1 : inputs.parameter_values['wind']", 1),
    ],
)
def test_an_expression_has_its_value(expression, value):
    assert evaluate(expression, NAMES) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("inputs.parameter_values['wind'] == 1", r"cannot be evaluated \(KeyError: 'wind'\)"),
        ("inputs.parameter_values['word'] > 3", "cannot be evaluated .TypeError"),
        ("1 ==", "unexpected 'the end'"),
        ("1 == 1 1", "unexpected '1'"),
        ("1 # 2", "is not understood at '# 2'"),
        ("!3", "! needs true or false, got 3"),
        ("inputs.parameter_values['wind'] > 1 && true", r"cannot be evaluated \(KeyError: 'wind'\)"),
        ("false || inputs.parameter_values['wind'] > 1", r"cannot be evaluated \(KeyError: 'wind'\)"),
        ("3 && true", "&& needs true or false, got 3"),
        ("3 ? 1 : 2", "[?] needs true or false, got 3"),
        ("inputs.parameter_values['count']", "must be true or false, got 3"),
    ],
)
def test_what_cannot_be_judged_says_why(expression, reason):
    with pytest.raises(ConditionError, match=reason):
        holds(expression, NAMES)
