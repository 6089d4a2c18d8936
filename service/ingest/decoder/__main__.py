"""The decoder process: `python -m lookout.service.ingest.decoder`, started by `process.py`."""

from lookout.service.ingest.decoder.main import main

main()
