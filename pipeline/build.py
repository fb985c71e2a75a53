"""The pipeline of an application, the same for every engine."""

from __future__ import annotations

import contextlib

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.orchestration.pipeline import Pipeline

from applications.spec import Application
from components.baseline import IS_NEW
from pipeline.config import RunConfig
from pipeline.stages import BUILDERS, Placement, Wiring


def create_pipeline(application: Application, config: RunConfig, placement: Placement) -> Pipeline:
    """Wires the stages of one application.

    Pure: the same arguments and the same code give the same pipeline; nothing is read but this project's
    own source and the weights to start from, for the digests by which the cache sees them.

    Args:
        application: what is predicted.
        config: the resolved configuration.
        placement: where artifacts and pushed models go, which differs from engine to engine.

    Returns:
        A TFX pipeline without metadata connection; the runner adds its own.
    """
    wiring = Wiring(application=application, config=config, placement=placement)
    with contextlib.ExitStack() as behind:
        for name, builder in BUILDERS.items():
            if name == "tune" and not config.tune.enabled:
                continue
            wiring.nodes[name] = builder(wiring).with_id(name)
            if name == "baseline" and placement.skips_unchanged:
                found = wiring.output("baseline", "model").future()[0]
                behind.enter_context(Cond(found.custom_property(IS_NEW) == 1))
    _let_bad_data_stop(wiring.nodes)
    return Pipeline(
        pipeline_name=application.model_name,
        pipeline_root=placement.artifacts,
        components=list(wiring.nodes.values()),
        enable_cache=True,
        beam_pipeline_args=_beam_arguments(config),
    )


def _beam_arguments(config: RunConfig) -> list[str]:
    arguments = [f"--runner={config.beam.runner}", *config.beam.options]
    if config.beam.runner == "FnApiRunner":
        # Without a flag on dependencies TFX packs itself into a source distribution in every Beam stage, for
        # workers elsewhere (2 s each); workers in this process have no use for it, nor for an image.
        arguments.append("--sdk_container_image=none")
    return arguments


def _let_bad_data_stop(nodes: dict[str, BaseNode]) -> None:
    """Training waits for the validation, whose verdict is a refusal to go on, not an artifact it reads."""
    for name in ("tune", "train"):
        if name in nodes:
            nodes[name].add_upstream_node(nodes["validate"])
