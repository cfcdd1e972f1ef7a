"""``kcomplexity schema``: the JSON Schema of each document that a command prints."""

from __future__ import annotations

from collections.abc import Iterable

import click

from kcomplexity_cli.types import completed_from


def _names() -> Iterable[str]:
    from kcomplexity.schemas import schema_names

    return schema_names()


@click.command(
    epilog="""\b
Examples:
  kcomplexity schema
  kcomplexity schema score > score.schema.json
"""
)
@click.argument("name", required=False, shell_complete=completed_from(_names))
def schema(name: str | None) -> None:
    """Print the JSON Schema of a document that a command prints; without NAME, list them."""
    from kcomplexity.schemas import load_schema, schema_names
    from kcomplexity_cli.terminal import print_json

    if name is not None:
        print_json(load_schema(name))
        return
    width = max(map(len, schema_names()))
    for known in schema_names():
        click.echo(f"{known:{width}}  {load_schema(known)['title']}")
