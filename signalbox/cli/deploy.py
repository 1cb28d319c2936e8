"""`signalbox deploy`: what somebody else's cluster is given, made from this installation and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli.session import load_settings, note, require_broker

app = typer.Typer(
    no_args_is_help=True, help="Make what somebody else's cluster is given; docs/deployment.md."
)


@app.command()
def package(
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("dist/jobs"),
) -> None:
    """Write the jobs as `flink run -py … -pyfs …` takes them: an archive, two scripts, the connector's jar."""
    from signalbox.local_stack.package import write_package  # noqa: PLC0415 (slow to import)

    for path in write_package(out):
        typer.echo(path)


@app.command()
def topics() -> None:
    """Create every topic that is missing on the broker of the settings, and say where an existing one differs."""
    from connectors.topic_admin import ensure_topics_of  # noqa: PLC0415 (slow to import)
    from signalbox.local_stack.fleets import load_fleets  # noqa: PLC0415

    settings = load_settings()
    require_broker(settings)
    made = ensure_topics_of(settings.kafka, load_fleets(settings).agents)
    for name in made.created:
        typer.echo(f"{name} created")
    for warning in made.warnings:
        note(f"warning: {warning}")
    note(f"{len(made.created)} topics created, {len(made.existing)} there already")


@app.command()
def kubernetes(
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("dist/kubernetes"),
    image: Annotated[
        str, typer.Option(help="The image built from deploy/Dockerfile, with its tag.")
    ] = "signalbox:local",
) -> None:
    """Write the manifests for Flink's operator and Strimzi, with the fleets and prefixes of the settings."""
    from signalbox.kubernetes.manifests import write_manifests  # noqa: PLC0415 (slow to import)

    for path in write_manifests(out, load_settings(), image=image):
        typer.echo(path)
