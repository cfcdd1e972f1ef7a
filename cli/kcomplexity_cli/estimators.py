import click
@click.command()
def estimators() -> None:
    """Stub."""
