"""Mosaic files: opened as the dense weights that they decode to.

``Options.stored`` opens the arrays of the file itself instead: motifs, coded indices, table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kcomplexity.loaders.base import Options
from kcomplexity.loaders.safetensors import SafetensorsLoader
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import human_bytes

_STORED = SafetensorsLoader()


@dataclass(frozen=True)
class MosaicLoader:
    """One file that ``kcomplexity fit`` wrote."""

    extensions: tuple[str, ...] = (".mosaic.safetensors",)

    def sniff(self, path: Path, head: bytes) -> bool:
        return _STORED.sniff(path, head) and b'"format":"kcomplexity-mosaic"' in head

    def load(self, path: Path, options: Options) -> Checkpoint:
        if options.stored:
            return _STORED.load(path, options)
        from kcomplexity.containers.mosaic import Mosaic

        mosaic = Mosaic.load(path)
        note = (
            f"a mosaic of {human_bytes(mosaic.bits.total_coded / 8)} stands for these weights, at "
            f"a relative squared error of {mosaic.distortion.relative_mse:.4g} from those it was "
            "fitted to; --stored reads its own arrays"
        )
        return replace(mosaic.checkpoint(), notes=(note,))
