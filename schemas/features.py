"""Keys of the features in an Example, each spelled once."""

from __future__ import annotations

IMAGE = "image"  # bytes: the encoded image as it was found (JPEG or PNG)
LABEL = "label"  # bytes: class name; absent at serving time
LABEL_ID = "label_id"  # int64: place of the class in the application's `classes`; absent at serving time
GROUP = "group"  # bytes: split unit; no group is in two splits
ORIGIN = "origin"  # bytes: path of the file, relative to the data path, with "/" on every system
SHA256 = "sha256"  # bytes: 64 hexadecimal digits, of the file's content
PERCEPTUAL_HASH = "perceptual_hash"  # bytes: 16 hexadecimal digits, near for images that look alike
HEIGHT_PX = "height_px"  # int64: pixels
WIDTH_PX = "width_px"  # int64: pixels
BRIGHTNESS = "brightness"  # float: mean luma, 0 to 1
CONTRAST = "contrast"  # float: standard deviation of luma, 0 to 0.5
BRIGHTNESS_BAND = "brightness_band"  # bytes: "dark" (below 0.25), "middle" or "bright" (from 0.45); a slice

PIXELS = "pixels"  # float32 [height, width, 3], whole numbers 0 to 255: what the transform makes of an image
REASON = "reason"  # bytes: why there are no pixels; empty where there are

TRAIN, VALIDATION, TEST = "train", "validation", "test"  # the splits
SPLITS = (TRAIN, VALIDATION, TEST)
