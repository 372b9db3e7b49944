"""Labels from one kind of file to another."""
