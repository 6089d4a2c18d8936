"""Clips on disk and their ground truth: videos, image folders, frame labels, pixel masks."""
