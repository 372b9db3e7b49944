"""A model of any format over a labelled data set."""
