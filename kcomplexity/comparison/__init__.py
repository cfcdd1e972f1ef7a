"""Checkpoints compared: what changed, and the bits of one when the other is known."""
