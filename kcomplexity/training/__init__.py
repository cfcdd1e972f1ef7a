"""Checkpoints of one training: their order, the trends of their figures, and a cache of rows."""
