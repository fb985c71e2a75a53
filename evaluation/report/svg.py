"""Small parts of inline SVG figures: elements, scales and ticks.

Colours are CSS classes, not values, so that one figure serves the page's light, dark and printed form.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from markupsafe import Markup, escape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """A straight line from values to places on the page; a range of no width is drawn at its middle."""

    low: float  # value drawn at `start`
    high: float  # value drawn at `end`
    start: float  # pixels of the view box
    end: float  # pixels of the view box

    def __call__(self, value: float) -> float:
        """Returns the place of `value` in pixels, held within the scale's two ends."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return self.start + share * (self.end - self.start)


def element(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """Returns one SVG element; text and attributes are escaped, floats are cut to a tenth of a pixel.

    Args:
        name: of the element, such as "rect".
        content: text, or markup that is kept as it is.
        **attributes: `css` becomes `class`, `_` becomes `-`.
    """
    parts = [
        Markup(' {}="{}"').format(_attribute(key), _value(value)) for key, value in attributes.items() if value != ""
    ]
    head = Markup("<") + Markup(name) + Markup("").join(parts)
    if content == "":
        return head + Markup("/>")
    return head + Markup(">") + escape(content) + Markup("</") + Markup(name) + Markup(">")


def text(x: float, y: float, words: object, css: str = "", anchor: str = "start") -> Markup:
    """Returns a line of text whose baseline begins (or is centred, or ends) at `x`, `y`."""
    return element("text", str(words), x=x, y=y, css=css, text_anchor="" if anchor == "start" else anchor)


def line(start: tuple[float, float], end: tuple[float, float], css: str) -> Markup:
    """Returns a straight line between two points."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], css=css)


def path(points: Iterable[tuple[float, float]], css: str) -> Markup:
    """Returns an open line through points."""
    return element("polyline", points=" ".join(f"{_short(x)},{_short(y)}" for x, y in points), css=css)


def figure(width: float, height: float, label: str, parts: Iterable[Markup], css: str = "figure") -> Markup:
    """Returns a whole `<svg>` that scales with its box.

    Args:
        width: of the view box; also the widest it is shown, in pixels.
        height: of the view box.
        label: what the figure says, read aloud in its place.
        parts: elements, later ones on top.
        css: class of the figure.
    """
    body = element("title", label) + Markup("").join(parts)
    return element(
        "svg", body, css=css, viewBox=f"0 0 {_short(width)} {_short(height)}", role="img", aria_label=label,
        style=f"max-width:{_short(width)}px",
    )  # fmt: skip


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Returns about `count` round values from `low` to `high`; one value where the two are equal or not finite."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Returns a short label of an axis: `0.25`, `40`, `2e-05`."""
    return f"{value:g}".replace("e-0", "e-").replace("-", "\N{MINUS SIGN}")


def _attribute(key: str) -> str:
    return "class" if key == "css" else key.replace("_", "-")


def _value(value: object) -> str:
    return _short(value) if isinstance(value, float) else str(value)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
