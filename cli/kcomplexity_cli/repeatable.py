"""Commands that record in their results what to type for the same figures."""

from __future__ import annotations

import shlex

import click

_KEY = "kcomplexity.command"
#: Options that change no figure: how the work is done, and where the result goes.
_NOT_RECORDED = frozenset(
    {
        *("threads", "workers", "max_memory", "quiet", "no_cache", "watch", "interval"),
        *("as_json", "file", "output", "resume", "everything", "plots"),
    }
)


class Repeatable(click.Command):
    """A command whose text :func:`command_text` returns while it runs, for the provenance.

    Options that change no figure are left out, so that two runs with equal figures record the
    same command.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments and keep those that decide figures."""
        parsed, _, order = self.make_parser(ctx).parse_args(args=list(args))
        options, arguments = [], []
        for param in dict.fromkeys(order):
            if param.name in _NOT_RECORDED:
                continue
            value = parsed.get(param.name or "")
            # An option left out has a marker for a value, a flag True: neither is a word.
            values = value if isinstance(value, list | tuple) else [value]
            words = [word for word in values if isinstance(word, str)]
            if isinstance(param, click.Argument):
                arguments += words
            elif isinstance(param, click.Option):
                name = max(param.opts, key=len)
                options += [name] if param.is_flag else [w for word in words for w in (name, word)]
        ctx.meta[_KEY] = shlex.join(["kcomplexity", str(self.name), *arguments, *options])
        return super().parse_args(ctx, args)


def command_text() -> str:
    """Return the command that gives the figures of the :class:`Repeatable` command that runs."""
    return str(click.get_current_context().meta[_KEY])
