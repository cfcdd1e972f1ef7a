"""Checkpoints and tensors, whatever file or array they come from."""
