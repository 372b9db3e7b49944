"""Data sets: what a description says, and where its pictures are."""
