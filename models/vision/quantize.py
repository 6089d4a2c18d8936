"""Format of a stored heatmap: cells a side, and the level of a root mean squared error of 1."""

SIDE = 64
PEAK = 65535
