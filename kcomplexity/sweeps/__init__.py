"""Bits against error: every coding at several errors, and what each does to a network's task."""
