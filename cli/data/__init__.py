"""`segkit data`: commands on data sets."""
