"""What the row of a score says of itself; not needed with ``Score.target_mse``."""

from __future__ import annotations

from kcomplexity.results.records import Score
from kcomplexity.scoring.specs import parse_spec
from kcomplexity.views.distortion import DistortionView

__all__ = ["target_mse"]


def target_mse(score: Score) -> float | None:
    """Return the relative squared error that the spec asks for; None if it asks for none."""
    view = parse_spec(score.spec).view
    return view.error if isinstance(view, DistortionView) else None
