"""What checkpoints hold: from their headers alone, or with one pass over their values.

The header states names, shapes, dtypes and sizes. The values show what the header cannot: zeros,
NaN, the range, and the *effective dtype*. Weights that were once rounded to bfloat16 and then saved
as float32 take twice the bytes they need, and compress as if they were half as complex;
:mod:`kcomplexity.inspection.values` finds that out.
"""
