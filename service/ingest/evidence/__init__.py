"""Clips and pictures of alerts, made from the packets that a camera's decoder has read anyway.

`keeper.py` lives in the decoder of a live camera: it holds the ring of packets, and a thread of its
own serves what alerting asks for. A file is read again instead: `file_evidence.py` is a process for
that, and `file_process.py` its worker's side. `evidence_maker.py` makes the files for both.
"""
