"""Lempel-Ziv complexity (LZ76), as used in studies of a bias towards simple functions.

:func:`lz76_phrases` counts the phrases of the *exhaustive history* of a sequence [1]_ [2]_: reading
from left to right, each phrase is the shortest string that has not occurred before, where an
earlier occurrence may run into the phrase itself. Where the sequence ends within a phrase, what is
left counts as one. :func:`lz76_complexity` makes of it the C_LZ of [3]_ and
:func:`lz76_entropy_rate` an estimate of the entropy rate [4]_.

References
----------
.. [1] Lempel, Ziv: On the complexity of finite sequences. IEEE Trans. Inf. Theory 22:75 (1976).
.. [2] Kaspar, Schuster: Easily calculable measure for the complexity of spatiotemporal patterns.
       Phys. Rev. A 36:842 (1987).
.. [3] Dingle, Camargo, Louis: Input-output maps are strongly biased towards simple outputs.
       Nature Communications 9:761 (2018).
.. [4] Amigo, Szczepanski, Wajnryb, Sanchez-Vives: Estimating the entropy rate of spike trains via
       Lempel-Ziv complexity. Neural Computation 16:717 (2004).
"""

from kcomplexity.algorithms.lempel_ziv.measures import (
    binarise_outputs,
    lz76_complexity,
    lz76_entropy_rate,
    lz76_phrases,
)

__all__ = ["binarise_outputs", "lz76_complexity", "lz76_entropy_rate", "lz76_phrases"]
