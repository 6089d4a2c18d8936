"""Mathematics: models, scores and footage.

Knows nothing of cameras, Redis or HTTP. Imports nothing heavy here.
"""
