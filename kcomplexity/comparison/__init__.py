"""One checkpoint beside another: what changed, and what one costs when the other is known."""
