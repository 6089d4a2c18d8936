"""`make chaos`.

Break cameras, workers and servers on purpose, over and over, and count everything.
"""
