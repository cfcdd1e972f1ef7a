"""The context code: levels predicted from their neighbours by counts that adapt.

``model`` says which contexts there are and how they are chosen, ``features`` what a context is made
of, ``fit`` which lags are worth looking at, ``length`` counts the bits without writing one, and
``codec`` writes and reads them. The estimator is :mod:`kcomplexity.estimators.context`.
"""
