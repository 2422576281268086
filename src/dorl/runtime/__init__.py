"""How work is run: results kept by content."""
