"""What `train.model` and `train.augment` may name, and where each is found.

Light, so that the command line knows the names too: what a name stands for is imported when it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

from applications.errors import UnknownName

CHOICES = {
    "train.model": {  # see trainer.models.Builder
        "mobilenet_v3": "trainer.models.pretrained.mobilenet_v3",
        "resnet50": "trainer.models.pretrained.resnet50",
        "small_resnet": "trainer.models.small_resnet.small_resnet",
    },
    "train.augment": {  # from images to images of the same shape and dtype
        "flip": "trainer.augment.flip",
        "light": "trainer.augment.light",
        "rotate": "trainer.augment.rotate",
        "shift": "trainer.augment.shift",
    },
}


def load(setting: str, name: str) -> Any:
    """Imports what a setting names.

    Args:
        setting: one of `CHOICES`.
        name: one of its names.

    Returns:
        The function.

    Raises:
        UnknownName: there is no such name.
    """
    known = CHOICES[setting]
    if name not in known:
        raise UnknownName(setting, name, tuple(known))
    module, _, function = known[name].rpartition(".")
    return getattr(importlib.import_module(module), function)
