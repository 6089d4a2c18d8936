"""Generates dashboards and reference pages from the service's metrics and camera fields.

No part of the service: nothing in it imports this package.
"""
