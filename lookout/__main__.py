"""`python -m lookout` is the command `lookout`."""

from lookout.service.cli.main import main

main()
