"""Generalisation bounds from the length of a description of the model."""
