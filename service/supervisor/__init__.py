"""`lookout serve`: Redis servers and stages as child processes.

The command line, the demo and the container's health check import it; no stage does.
"""
