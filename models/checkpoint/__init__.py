"""Checkpoint files: weights, memory items, configuration, calibration and provenance."""
