"""The low-rank code: levels of two factors, and of what they leave.

``model`` finds the factors and counts the bits, ``codec`` writes and reads them. The estimator is
:mod:`kcomplexity.estimators.low_rank`.
"""
