"""Every fault of a data set, its numbers, and pictures of both."""
