"""`earthloop compile` and `earthloop lint`: the pipeline as Kubeflow takes it, and whether a cluster would."""

from __future__ import annotations

import pathlib

import click

from applications import discovery
from applications.errors import UsageError
from pipeline import config as configuration
from pipeline import kubeflow_deployment, kubeflow_lint, kubeflow_spec, output_folder, preflight
from pipeline.cli.options import application_argument, debug_option, shown
from pipeline.cli.quiet import without_startup_lines
from pipeline.run_record import write_atomically

FAULTY = 1  # exit code of a spec with faults


@click.command(
    "compile",
    epilog="\b\nExample:\n  earthloop compile satellite/landcover --engine kubeflow --out landcover.yaml"
    " --data /earthloop/data/landcover --deployment kubeflow/deployments/example.yaml",
)
@application_argument()
@click.option("--engine", type=click.Choice(["kubeflow"]), required=True, help="Who will run it.")
@click.option(
    "--out", type=click.Path(path_type=pathlib.Path), metavar="FILE.yaml", required=True, help="Where to write it."
)
@click.option("--data", metavar="PATH", default="", help="Raw data as the pods see them: mounted folder or URI.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=pathlib.Path), metavar="FILE", help="Settings as YAML."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option(
    "--deployment",
    type=click.Path(path_type=pathlib.Path),
    metavar="FILE",
    help="What the cluster is told; kubeflow/deployments/example.yaml explains it.  [default: nothing but the image]",
)
@click.option(
    "--run-name", default="", metavar="NAME", help="Default of the parameter run_name.  [default: the model's]"
)
@debug_option
def compile_command(  # noqa: PLR0913, PLR0917 - each option is one argument to click
    application: str,
    engine: str,
    out: pathlib.Path,
    data: str,
    config_file: pathlib.Path | None,
    overrides: tuple[str, ...],
    deployment: pathlib.Path | None,
    run_name: str,
) -> None:
    """Compiles the pipeline that also runs locally, for open-source Kubeflow Pipelines.

    Nothing is sent anywhere. The file is checked against what a cluster refuses before it is written.
    """
    del engine  # there is one
    if out.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--out must end in .yaml, got {str(out)!r}: the server takes no JSON.")
    found = discovery.load(application)
    config = configuration.resolve(found, data=data, config_file=config_file, overrides=overrides)
    preflight.check_for_cluster(config)
    cluster = kubeflow_deployment.read(deployment) if deployment else kubeflow_deployment.Deployment()
    click.echo("Compiling; importing TFX takes some seconds.")
    with without_startup_lines():
        from pipeline import kubeflow_runner  # imports TFX

        compiled = kubeflow_runner.compile_application(found, config, cluster, run_name=run_name)
    is_new = not out.absolute().parent.exists()
    output_folder.prepare(out.absolute().parent)
    write_atomically(out, kubeflow_runner.as_yaml(compiled.spec))
    for note in compiled.notes:
        click.echo(f"Note: {note}")
    parameters = ", ".join(sorted(next(compiled.spec.dags()).parameters))
    click.echo(f"{shown(out)}: {len(compiled.spec.executors)} executors, no faults found; parameters: {parameters}.")
    if is_new:
        click.echo(f"The folder {shown(out.absolute().parent)} is new.")
    click.echo(f"Next: earthloop submit {shown(out)} --host URL")


@click.command("lint", epilog="\b\nExample:\n  earthloop lint landcover.yaml")
@click.argument("file", type=click.Path(path_type=pathlib.Path), metavar="FILE.yaml")
@click.option(
    "--param", "known", multiple=True, metavar="NAME", help="A parameter that every run will give; may be repeated."
)
@debug_option
def lint_command(file: pathlib.Path, known: tuple[str, ...]) -> None:
    """Says what of a compiled pipeline would fail on open-source Kubeflow Pipelines, whoever compiled it.

    The server checks little before a run is created. Exit code 1 where something would fail.
    """
    spec = kubeflow_spec.read(file)
    faults = kubeflow_lint.lint(spec, [name.partition("=")[0] for name in known])
    for fault in faults:
        click.echo(f"{fault} [{fault.rule}]", err=True)
    if faults:
        click.echo(f"{shown(file)}: {len(faults)} fault{'s' if len(faults) > 1 else ''}.", err=True)
        click.get_current_context().exit(FAULTY)
    click.echo(f"{shown(file)}: {len(spec.executors)} executors, no faults found.")
