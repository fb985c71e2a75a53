"""How the learning rate changes over a training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

LAST_SHARE = 0.001  # the last step's rate, as a fraction of the peak


@keras.saving.register_keras_serializable("earthloop")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a straight line to its peak, then falls along half a cosine."""

    def __init__(self, peak: float, steps: int, warmup_share: float) -> None:
        """Creates the schedule.

        Args:
            peak: the highest rate, reached at the end of the rise.
            steps: of the whole training; the rate stays at its lowest afterwards.
            warmup_share: fraction of `steps` over which it rises, 0 to below 1.
        """
        self.peak = peak
        self.steps = steps
        self.warmup_share = warmup_share

    def __call__(self, step: Any) -> Any:
        """Returns the rate, a float32 scalar, for the step with this number, from 0 on."""
        warmup = max(1.0, self.steps * self.warmup_share)
        step = keras.ops.cast(step, "float32")
        rising = self.peak * (step + 1) / (warmup + 1)
        done = keras.ops.clip((step - warmup) / max(1.0, self.steps - warmup), 0.0, 1.0)
        falling = self.peak * (LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + keras.ops.cos(np.pi * done)))
        return keras.ops.where(step < warmup, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {"peak": self.peak, "steps": self.steps, "warmup_share": self.warmup_share}
