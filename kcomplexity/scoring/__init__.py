"""Flow 1: from a checkpoint to a report of scores."""
