"""Labels and sizes of pictures, from files of every kind, with every fault that is met."""
