"""`python -m lookout`: the command line, which takes no module from the working directory."""

import sys

if not sys.flags.safe_path:  # as with -P: a user's own json.py or models.py is not ours
    del sys.path[0]

from lookout.service.cli.main import main

main()
