"""How a heatmap is kept: cells a side, and the level that stands for a root mean squared error of 1."""

SIDE = 64
PEAK = 65535
