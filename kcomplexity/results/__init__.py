"""The records of results: frozen, saved and loaded; they hold figures and compute none."""
