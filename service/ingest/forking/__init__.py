"""Processes of a worker that start in milliseconds, forked from one that has loaded the libraries.

A process of its own for each camera would load PyAV, OpenCV, pydantic and redis-py first: a second
of a core and most of its memory. `server.py` is the process that loads them once and forks;
`children.py` is the worker's side of it, and knows nothing of cameras.
"""
