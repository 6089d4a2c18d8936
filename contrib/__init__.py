"""Helpers for machines with limits of their own; not part of the installed package.

- recipe: a training that ends in a given time, and its row of a table
- parts: a checkpoint cut into small files, and put together again

`python -m contrib recipe …` and `python -m contrib join …` run them from a checkout. They use
`lookout`; nothing in `lookout` imports them.
"""
