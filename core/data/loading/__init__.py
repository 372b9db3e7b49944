"""Training samples made in batches: by worker processes that share memory with this one. Needs no torch."""
