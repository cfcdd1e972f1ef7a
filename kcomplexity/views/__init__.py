"""How weights become symbols: one small class per view; see :mod:`kcomplexity.views.base`."""

from __future__ import annotations

from kcomplexity.registry import Registry
from kcomplexity.views.base import Alphabet, Encoded, Encoder, Reduce, View, check_view
from kcomplexity.views.distortion import DistortionView
from kcomplexity.views.levels import SignByteView, SignView, SymmetricView, UniformView
from kcomplexity.views.stored import BytesView, CodesView, Float32View, WordsView

__all__ = ["VIEWS", "Alphabet", "Encoded", "Encoder", "Reduce", "View"]

#: Every view by the name it has in a spec. A first parameter is glued to the name: ``q8``.
VIEWS: Registry[type[View]] = Registry("kcomplexity.views", "view", check_view)

VIEWS.register("bytes", BytesView)
VIEWS.register("words", WordsView)
VIEWS.register("f32", Float32View)
VIEWS.register("codes", CodesView)
VIEWS.register("sign", SignView)
VIEWS.register("sign-byte", SignByteView)
VIEWS.register("q", SymmetricView)
VIEWS.register("l", UniformView)
VIEWS.register("rd", DistortionView)
