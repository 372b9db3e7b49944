"""Colours and letters of everything that is drawn: one palette, and a font for every script that the system has."""
