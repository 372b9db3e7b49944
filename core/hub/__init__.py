"""Models by name or address: where they come from, and where they are kept."""
