"""Changing pictures and their labels together, at random but repeatably."""
