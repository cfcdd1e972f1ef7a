"""Which of several specs speaks for the network: one choice for tables, figures and pages."""

from __future__ import annotations

from collections.abc import Iterable

from kcomplexity.report.rows import Json


def main_spec(rows: Iterable[Json]) -> str | None:
    """Return the main code: the first at a set error, else the first lossy one, else the first.

    Codes come before estimates. A spec that measures less than half of the weights of the widest
    one is passed over: the scales of integer weights alone are not the network.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of a result.

    Returns
    -------
    str or None
        None if no row has bits.

    Examples
    --------
    >>> row = {"n_weights": 9, "bits": 20.0, "kind": "code"}
    >>> main_spec([row | {"spec": "zstd@bytes"}, row | {"spec": "entropy@rd0.01"}])
    'entropy@rd0.01'
    """
    taken: dict[str, int] = {}
    firsts: dict[str, Json] = {}
    for row in rows:
        if row.get("bits") is not None:
            spec = str(row["spec"])
            taken[spec] = taken.get(spec, 0) + int(row.get("n_weights") or 0)
            firsts.setdefault(spec, row)
    widest = max(taken.values(), default=0)
    wide = {spec: row for spec, row in firsts.items() if taken[spec] >= 0.5 * widest}
    codes = {spec: row for spec, row in wide.items() if row.get("kind", "code") == "code"}
    at_error = [spec for spec, row in codes.items() if row.get("target_mse")]
    lossy = [spec for spec, row in codes.items() if row.get("decodes") == "view"]
    return next(iter(at_error or lossy or codes or wide), None)
