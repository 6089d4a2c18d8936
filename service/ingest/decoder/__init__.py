"""One camera's decoder process and its parent's side of it.

`process.py` (the worker's side) starts `main.py` and reads its messages (`protocol.py`). In the
process: `source.py` opens and decodes, `frame_pipeline.py` takes each picture through sampling,
session, `pacing.py` and preprocessing to `frame_writer.py`; `reporter.py` writes the messages,
`live_picture.py` shows what is decoded while somebody looks, `resume.py` finds where a file goes
on, `limits.py` bounds memory and restarts. `trial.py` is another process, which tries sources
without decoding them.

The worker imports `process` and `protocol` alone.
"""
