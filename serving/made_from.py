"""What a model is made from, as one digest: the same digest again means that nothing changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# How the machine is used, where lineage is kept and how many old versions stay change no model.
_SECTIONS_WITHOUT_EFFECT = {"local", "metadata"}
_SETTINGS_WITHOUT_EFFECT = {"push": {"keep_versions"}}


def digest(configuration: Mapping[str, Any], data: str, code: str, weights: str) -> str:
    """Digests all that a model depends on.

    Args:
        configuration: the resolved configuration, as plain values.
        data: digest of the raw data.
        code: digest of the code and of its libraries.
        weights: digest of the weights a training starts from; "" where it starts from none.

    Returns:
        16 hexadecimal digits.
    """
    settings = {name: section for name, section in configuration.items() if name not in _SECTIONS_WITHOUT_EFFECT}
    for name, ignored in _SETTINGS_WITHOUT_EFFECT.items():
        if name in settings:
            settings[name] = {key: value for key, value in settings[name].items() if key not in ignored}
    parts = {"config": settings, "data": data, "code": code, "weights": weights}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def of_stage(made_from: str, configuration: str, made_with: str, data: str) -> str:
    """Returns the digest for a stage that may have to make it by itself.

    Args:
        made_from: the digest where whoever starts the run knows it; "" where only the stages see the data.
        configuration: the resolved configuration as JSON; "" where it is not told.
        made_with: JSON, `{"code_version": …, "weights_digest": …}`; "" where it is not told.
        data: digest of the raw data.

    Returns:
        16 hexadecimal digits; "" where too little is told.
    """
    if made_from or not (configuration and made_with):
        return made_from
    told = json.loads(made_with)
    return digest(json.loads(configuration), data, told["code_version"], told["weights_digest"])
