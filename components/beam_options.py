"""Beam's pipeline options, parsed once."""

from __future__ import annotations

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions


class OptionsOnce(PipelineOptions):
    """Pipeline options that make each of their views once.

    Beam asks for a view several times for every step, and each builds and runs an argument parser: a tenth of the time
    of a pipeline of a hundred steps on little data. A view keeps no values of its own, so one is as good as many.
    """

    def view_as(self, cls: type[Any]) -> Any:
        """Returns these options as another class of options."""
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the views out; they are made again."""
        return {name: value for name, value in super().__getstate__().items() if name != "_views"}
