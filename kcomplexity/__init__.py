"""Measure how complex a neural network's weights really are."""

from kcomplexity._version import __version__

__all__ = ["__version__"]
