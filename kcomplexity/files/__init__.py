"""Bytes: where they are, read by range; the grammars of headers; files written whole."""
