"""Temperature scaling: makes a network's probabilities mean what they say, without changing any answer.

Label smoothing, class weights and cropped training images leave a network too modest (or too sure). Dividing its
logits by one number, found on items that it did not learn from, mends most of that: Guo et al., "On Calibration of
Modern Neural Networks", ICML 2017. Each label counts as right with a probability of (n + 1) / (n + 2) only, after n
items: without that doubt, a network that is right on all of a small split would be made sure beyond measure (Platt,
"Probabilistic Outputs for Support Vector Machines", 1999).
"""

from __future__ import annotations

import keras
import numpy as np
from scipy import optimize, special

RANGE = (0.05, 20.0)  # of temperatures; a network beyond it has other troubles


def temperature(logits: np.ndarray, label_id: np.ndarray) -> float:
    """Finds the temperature under which the labels are likeliest.

    Args:
        logits: float `[items, classes]`, at least two classes.
        label_id: int `[items]`, the right class of each.

    Returns:
        The number to divide the logits by, within `RANGE`: below 1 makes the answers surer, above 1 less sure.
    """
    logits = np.asarray(logits, np.float64)
    items, classes = logits.shape
    targets = np.full(logits.shape, 1 / (items + 2) / (classes - 1))
    targets[np.arange(items), label_id] = (items + 1) / (items + 2)
    expected = np.sum(targets * logits, axis=1)

    def surprise(log_temperature: float) -> float:
        """Returns the mean negative log likelihood of the labels at a temperature, given as its logarithm."""
        scale = np.exp(-log_temperature)
        return float(np.mean(special.logsumexp(logits * scale, axis=1) - expected * scale))

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
