"""Checkpoints of one training: their order, and the trends of their figures."""
