"""A model that labels by the first letter of a file, as the applications' models answer."""

from __future__ import annotations

from pathlib import Path


def save(folder: Path) -> None:
    """Saves it: a forest in what begins with F, no image in all else."""
    import tensorflow as tf

    class Sites(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
        def answer(self, image):
            is_forest = tf.strings.regex_full_match(image, "F.*")
            return {
                "label": tf.where(is_forest, "Forest", ""),
                "score": tf.where(is_forest, 0.75, 0.0),
                "reason": tf.where(is_forest, "", "not an image"),
                "classes": tf.tile([["Forest", "River"]], [tf.size(image), 1]),
                "probabilities": tf.where(is_forest[:, None], [[0.75, 0.25]], [[0.0, 0.0]]),
            }

    sites = Sites()
    tf.saved_model.save(sites, str(folder), signatures={"predict_image": sites.answer})
