"""Lookout: live anomaly scores for fixed cameras.

`models` holds the mathematics, `service` the plumbing around it. In a checkout both are links to
the folders beside this one, so that every tool sees the package as it is installed.
"""

__version__ = "0.1.0"
