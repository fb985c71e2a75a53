"""Temperature scaling: makes a network's probabilities mean what they say, without changing any answer.

Label smoothing, class weights and cropped training images leave a network too modest (or too sure). Dividing its
logits by one number, found on items that it did not learn from, mends most of that: Guo et al., "On Calibration of
Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

import keras
import numpy as np
from scipy import optimize, special

RANGE = (0.05, 20.0)  # of temperatures; a network beyond it has other troubles


def temperature(logits: np.ndarray, label_id: np.ndarray) -> float:
    """Finds the temperature under which the labels are likeliest.

    Args:
        logits: float `[items, classes]`.
        label_id: int `[items]`, the right class of each.

    Returns:
        The number to divide the logits by, within `RANGE`: below 1 makes the answers surer, above 1 less sure.
    """
    right = np.asarray(logits, np.float64)[np.arange(len(label_id)), label_id]

    def surprise(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(special.logsumexp(logits * scale, axis=1) - right * scale))

    found = optimize.minimize_scalar(surprise, bounds=tuple(np.log(RANGE)), method="bounded")
    return float(np.exp(found.x))


def scale(model: keras.Model, by: float) -> None:
    """Divides a network's logits by a temperature, within the weights of its last layer.

    Args:
        model: ends in a `Dense` layer without activation.
        by: the temperature, above 0.
    """
    last = model.layers[-1]
    last.set_weights([weight / by for weight in last.get_weights()])
