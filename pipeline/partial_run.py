"""Which stages `--from` and `--to` run, and which results they take over from an earlier run. Light, without TFX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluation.report import diagrams
from pipeline.scheduler import ancestors

OUTSIDE = ("schema", "baseline", "spans")  # stages that take hardly any time: they look at what lies outside


def upstream_of(stages: Sequence[str]) -> dict[str, list[str]]:
    """Returns for each stage those that it waits for; a test holds them against the pipeline itself."""
    arrows = diagrams.arrows(stages)
    return {name: [start for start, end in arrows if end == name] for name in stages}


def running(upstream: Mapping[str, Sequence[str]], from_stage: str, to_stage: str = "") -> list[str]:
    """Lists the stages that a run from one stage to another runs, in order.

    They are those that depend on `from_stage`, itself included, and of `OUTSIDE` those on which nothing but these
    depends: a run from `train` looks for the baseline anew.

    Args:
        upstream: for each stage, in order, the stages it depends on.
        from_stage: the first to run; "" for all.
        to_stage: the last to run; "" for all.
    """
    above = {name: ancestors(upstream, name) for name in upstream}
    wanted = above[to_stage] if to_stage else set(upstream)
    found = {name for name in wanted if not from_stage or from_stage in above[name]}
    for name in OUTSIDE:  # in this order: the last feeds the one before it
        if name in wanted - found and {below for below in wanted if name in above[below]} - {name} <= found:
            found.add(name)
    return [name for name in upstream if name in found]


def reused(upstream: Mapping[str, Sequence[str]], from_stage: str, to_stage: str = "") -> list[str]:
    """Lists the stages whose results such a run takes over, in order: those that the running ones depend on."""
    found = running(upstream, from_stage, to_stage)
    needed = {above for name in found for above in ancestors(upstream, name)}
    return [name for name in upstream if name in needed.difference(found)]
