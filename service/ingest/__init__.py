"""Ingest: decode cameras and files, and add their frames to the bus.

`worker.py` follows the cameras in the store and keeps one `camera_runner.py` for each: the state
machine of its decoder. `retry.py` holds the delay before the next attempt; `probe.py` and
`trials.py` ask a camera without a decoder. `decoder/` is the process that decodes one camera; it
can be killed without touching another. Worker and decoder exchange lines of JSON
(`decoder/protocol.py`); the decoder adds its frames to the bus itself.

Other rooms import `worker.run` alone.
"""
