"""Ingest: cameras and files become frames on the bus. One killable process decodes each camera.

`worker.py` follows the cameras in the store and gives each a `runner.py` (its life as a state machine), which starts
`child.py`: a process of `decoder.py`. The two talk in lines of JSON (`wire.py`); frames go to the bus directly.
"""
