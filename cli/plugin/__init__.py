"""`segkit plugin`: commands for authors of formats."""
