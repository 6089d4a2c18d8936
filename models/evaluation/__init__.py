"""Scores of whole clips, and the metrics taken from them."""
