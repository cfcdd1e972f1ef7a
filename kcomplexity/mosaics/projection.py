"""MoMos in a training loop: project weights onto a mosaic, every epoch or every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.mosaics.fit_options import Fitting
from kcomplexity.mosaics.fitting import fit_mosaic


def project(
    weights: Mapping[str, Any], **options: Unpack[Fitting]
) -> tuple[dict[str, Any], Mosaic]:
    """Replace weights by the mosaic that is fitted to them.

    Parameters
    ----------
    weights : mapping of str to array or tensor
        NumPy arrays, or PyTorch tensors such as a ``state_dict()``. They are not changed.
    **options
        Of :func:`kcomplexity.fit_mosaic`. The paper draws the motifs anew each time: give the
        epoch as ``seed``.

    Returns
    -------
    projected : dict
        New arrays (or tensors on the same device) under the same names, of the same shapes and
        dtypes. Tensors that are not fitted, such as vectors, are copies.
    mosaic : Mosaic
        With its bits and its distortion.

    Raises
    ------
    SpecError
        If an option is invalid.
    UnmeasurableError
        If weights are NaN or infinite: the training has diverged.

    Examples
    --------
    A PyTorch loop; the projection is applied after each epoch, as in the paper's code::

        for epoch in range(epochs):
            train_one_epoch(model, optimiser)
            projected, mosaic = kc.project(
                model.state_dict(), method="sample", block_size=4, capacity=0.01, seed=epoch
            )
            model.load_state_dict(projected)
            print(epoch, mosaic.bits_per_weight, mosaic.distortion.relative_mse)

    >>> import numpy as np
    >>> weights = {"w": np.tile(np.float32([1, 2]), (4, 4)), "b": np.zeros(3, np.float16)}
    >>> projected, mosaic = project(weights, method="sample", block_size=2, motifs=1)
    >>> projected["b"].dtype.name, bool((projected["w"] == weights["w"]).all())
    ('float16', True)
    """
    mosaic = fit_mosaic(weights, **options)
    made = mosaic.reconstruct()
    return {name: _like(array, made[name]) for name, array in weights.items()}, mosaic


def _like(original: Any, made: Any) -> Any:
    """Return an array as a PyTorch tensor on the same device if `original` is one."""
    if type(original).__module__.partition(".")[0] != "torch":
        return made
    import torch

    # PyTorch does not know the bfloat16 of NumPy: the bits are passed as integers.
    if original.dtype == torch.bfloat16:
        return torch.from_numpy(made.view("i2")).view(torch.bfloat16).to(original.device)
    return torch.from_numpy(made).to(original.device)
