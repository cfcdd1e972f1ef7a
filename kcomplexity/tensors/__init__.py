"""Checkpoints and tensors: what is measured, whatever file or array it comes from."""
