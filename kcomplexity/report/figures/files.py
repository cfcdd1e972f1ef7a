"""Pictures as files: each in the formats asked for, with its numbers as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kcomplexity.errors import OutputError, ResultError, SpecError
from kcomplexity.files.atomic import refuse_paths, write_atomically
from kcomplexity.report.figures import pictures, unmet
from kcomplexity.report.figures.canvas import PICTURE_FORMATS, image_bytes, numbers_csv
from kcomplexity.report.figures.themes import theme
from kcomplexity.report.rows import Json


def save_figures(
    document: Json,
    folder: str | Path,
    kinds: Sequence[str] = (),
    *,
    forms: Sequence[str] = ("png",),
    look: str = "light",
    inputs: Sequence[Path] = (),
) -> list[Path]:
    """Draw all that a result has, or the kinds asked for, into a folder; return their paths.

    The CSV of each picture has its name and ends in ``.csv``. The folder is made if it is not
    there; files of the same names are replaced, but never the `inputs` that were read.
    If nothing can be drawn, a ResultError says what each kind would need.
    """
    for form in forms:
        if form not in PICTURE_FORMATS:
            raise SpecError(
                f"unknown picture format {form!r}: expected one of {', '.join(PICTURE_FORMATS)}"
            )
    chosen = theme(look)
    drawn = list(pictures(document, kinds))
    if not drawn:
        raise ResultError(f"nothing to draw: {'; '.join(unmet(document, kinds))}")
    folder = Path(folder)
    for picture in drawn:
        for form in (*forms, "csv"):
            refuse_paths(folder / f"{picture.name}.{form}", inputs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror or error}") from error
    for picture in drawn:
        for form in forms:
            image = image_bytes(picture.kind, picture.chart, chosen, form)
            write_atomically(folder / f"{picture.name}.{form}", image)
        write_atomically(folder / f"{picture.name}.csv", numbers_csv(picture.chart))
    return [folder / f"{picture.name}.{form}" for picture in drawn for form in forms]
