"""Data sets that have a name: what they are, where they are looked for, how they are fetched."""
