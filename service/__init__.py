"""Lookout's plumbing: cameras in, scores and alerts out."""

__version__ = "0.1.0"
