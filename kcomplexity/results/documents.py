"""What every result can do: become JSON, a file, a data frame, tables and figures; be loaded again.

What draws a result lies above this package: ``report`` reads the JSON form alone, and is imported
when something is drawn.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args, get_type_hints

from kcomplexity.errors import ResultError, SpecError
from kcomplexity.results.json_form import plain, rebuilt, versioned
from kcomplexity.results.reading import KINDS, kind_of, read_document

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from kcomplexity.report.table import Table


class Document:
    """Base of every result: a frozen dataclass whose fields, in order, are its JSON document.

    Attributes
    ----------
    kind : str
        What it is the result of, as in :data:`~kcomplexity.results.reading.KINDS`.
    rows_name : str
        The field that holds its records: the rows of a CSV file and of a data frame; empty where
        it has none.
    """

    kind: ClassVar[str]
    rows_name: ClassVar[str] = "rows"

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result back from a file.

        Parameters
        ----------
        path : str or path
            What :meth:`save` or a command wrote, as JSON or JSON lines.

        Raises
        ------
        ResultError
            If the file cannot be read, or holds another kind of result.
        """
        document = read_document(path)
        kind = kind_of(document)
        if kind != cls.kind:
            raise ResultError(
                f"{path} is the result of '{KINDS[kind]}': expected one of '{KINDS[cls.kind]}'"
            )
        try:
            return rebuilt(cls, document)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise ResultError(
                f"{path}: a field is not what the schema {cls.kind} says ({error}); "
                "make the result again"
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document, which ``kcomplexity schema`` describes."""
        return versioned(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a long-form data frame, one measure a row.

        Raises
        ------
        SpecError
            Without pandas, which is the extra ``kcomplexity[pandas]``.
        """
        try:
            import pandas as pd
        except ImportError:
            raise SpecError(
                "a data frame needs pandas: pip install 'kcomplexity[pandas]', or use to_dict()"
            ) from None
        return pd.DataFrame(self.records())

    @staticmethod
    def check_target(path: str | Path) -> None:
        """Refuse at once a file that :meth:`save` could not write.

        Raises
        ------
        SpecError
            If its ending is that of no format, or what writes that is not installed.
        OutputError
            If no file can be made there.
        """
        from kcomplexity.report import check_target

        check_target(Path(path))

    def save(self, path: str | Path, *, kind: str | None = None) -> None:
        """Write the result whole, or not at all; the ending of `path` chooses the format.

        Parameters
        ----------
        path : str or path
        kind : str, optional
            json, jsonl, csv, md or parquet, where the ending does not say.

        Raises
        ------
        OutputError
            If it cannot be written; an older file is left as it was.
        """
        from kcomplexity.report import save

        save(self, Path(path), kind)

    def tables(self) -> list[Table]:
        """Return the tables of a page of text, the most important first and every row last."""
        from kcomplexity.report.tables import tables

        return tables(self.to_dict())

    def whole_tables(self) -> list[Table]:
        """Return the tables of the whole: what a notebook shows."""
        from kcomplexity.report.tables import whole_tables

        return whole_tables(self.to_dict())

    def remarks(self) -> list[str]:
        """Return what a reader has to know in addition to the tables, one line each."""
        from kcomplexity.report.remarks import remarks

        return remarks(self.to_dict())

    def plot(self, kind: str, ax: Axes | None = None) -> Axes:
        """Draw one figure of the result.

        Parameters
        ----------
        kind : str
            A name that ``kcomplexity plot RESULT --list`` shows, e.g. ``"bits"``.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib Axes
            The first picture of that kind, to change or to save.

        Raises
        ------
        SpecError
            If there is no such figure.
        ResultError
            If the result has nothing for it; the message says what it needs.
        """
        from kcomplexity.report.figures.on_axes import draw_on

        return draw_on(self.to_dict(), kind, ax)

    def _repr_html_(self) -> str:
        from kcomplexity.report.markup import summary_html

        return summary_html(self.to_dict())

    @classmethod
    def columns(cls) -> list[str]:
        """Return the names of the fields of a row."""
        if not cls.rows_name:
            raise SpecError(f"the result of '{KINDS[cls.kind]}' has no rows: end the name in .json")
        row_type = get_args(get_type_hints(cls)[cls.rows_name])[0]
        return [f.name for f in fields(row_type)]

    def records(self) -> list[dict[str, Any]]:
        """Return the rows in their JSON form."""
        return [plain(row) for row in getattr(self, self.rows_name)]
