"""What several formats of one family have in common: no format, and known to none of those outside of it."""
