"""Bytes: files and URLs read by range, and the grammars of their headers."""
