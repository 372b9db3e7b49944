"""A generated data set of shapes, whose masks are exact."""
