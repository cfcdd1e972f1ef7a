"""``python -m kcomplexity_cli``: the command without its script."""

from kcomplexity_cli.main import cli

if __name__ == "__main__":
    cli()
