"""The bus: bounded streams and reports that a crash of its Redis may lose.

`bus.Bus` is what the stages use. Its subjects have a file each: `frames`, `outcomes` (scores,
heatmaps, gaps, cursors), `reports` (of cameras and workers) and `counters`.
"""
