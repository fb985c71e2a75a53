"""Material of stranded debris: what a picked-up piece is made of."""

from __future__ import annotations

from applications.settings import BlessingSettings, ImageSettings, TrainSettings
from applications.spec import Application

APPLICATION = Application(
    name="ocean/debris_material",
    title="Material of debris",
    summary="Says which of six materials a photographed piece of debris is made of.",
    task="classification",
    modality="image",
    source="applications.ocean.debris_material.source.DebrisMaterial",
    classes=("cardboard", "glass", "metal", "paper", "plastic", "trash"),
    slices=(("label",), ("brightness_band",)),
    synthetic_items=900,
    image=ImageSettings(height_px=96, width_px=96),
    train=TrainSettings(epochs=40, batch_size=32),
    blessing=BlessingSettings(
        metric="accuracy",
        at_least=0.60,  # always answering "paper" gives 0.24, hand features with an SVM 0.76
        worst_class_at_least=0.25,  # "trash" is the rest of all and has 103 of 1,897 photographs
        must_not_drop_by=0.01,
        calibration_error_at_most=0.1,
    ),
)
