"""Replays: a recording scored as a camera would score it now, from a copy of what it has learned.

- recording: the frames of a file, as ingest makes them
- replay: the camera's own line and alert policy over them
- findings: what is kept of a replay: alerts, the strangest minutes, other thresholds
- files: the folder that a replay writes
- process: the process that the learning stage starts for a job

It stands above the stages, runs their own code on a copy, and changes nothing of the camera.
"""
