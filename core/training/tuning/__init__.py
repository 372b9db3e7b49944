"""A search for the arguments with which a model becomes best: many short trainings, chosen by Optuna.

What is known is kept in a database in the folder of the search: an interrupted search goes on where it was, and several
processes may search together. The first trial is what the user gave, so that there is something to be better than.
Only `study` and `sampling` import Optuna, and only a search imports these.
"""
