"""CTM tables: how complex each small block of symbols is, in bits.

The Coding Theorem Method (CTM) runs millions of small Turing machines and takes the complexity of
a block to be ``-log2`` of the share of halting machines that print it [1]_ [2]_. The tables were
published with pybdm 0.1.0 (MIT), whose package they are read from. pybdm itself is never imported:
that fails wherever ``pkg_resources`` is missing, which is every fresh virtual environment.

A table goes through three stages:

1. :mod:`kcomplexity.algorithms.ctm.source` finds its file, checks that it is the very file of pybdm
   0.1.0, unpickles it, admitting nothing but dictionaries, and turns text keys into sorted integer
   codes;
2. :mod:`kcomplexity.algorithms.ctm.cache` keeps the result, for the large alphabets, in the user's
   cache folder and maps it from there in later processes;
3. :mod:`kcomplexity.algorithms.ctm.table` looks blocks up in it.

References
----------
.. [1] Soler-Toscano, Zenil, Delahaye, Gauvrit: Calculating Kolmogorov complexity from the output
       frequency distributions of small Turing machines. PLoS ONE 9(5):e96223 (2014).
.. [2] Zenil, Hernandez-Orozco, Kiani, Soler-Toscano, Rueda-Toicen, Tegner: A decomposition method
       for global evaluation of Shannon entropy and local estimations of algorithmic complexity.
       Entropy 20(8):605 (2018).
"""

from kcomplexity.algorithms.ctm.cache import ctm_cache_folder, ctm_table
from kcomplexity.algorithms.ctm.source import CTM_SOURCES
from kcomplexity.algorithms.ctm.table import CtmTable, normalised_codes

__all__ = [
    "CTM_SOURCES",
    "CtmTable",
    "ctm_cache_folder",
    "ctm_table",
    "normalised_codes",
]
