"""Rows of numbers: tables on disk, how they become a network's input, training and measures."""
