"""Mosaics of motifs: blocks, the nearest motif, the fit, its bits and its report."""
