"""Attacks on the API, on loopback alone: `make attack` prints what they do to others."""
