"""Start Lookout as an add-on of Home Assistant: from its options to settings.

    python run.py [OPTIONS.json [DATA]]

Home Assistant keeps `/data` for the add-on, with the options that a person has set. As root, it
hands the data folder over to the user of the image, and becomes that user.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

USER = 10001  # of the image
INTERNAL = "172.30.32.0/23"  # the network of add-ons: the broker of Home Assistant is there
PLAIN = {
    "token": "LOOKOUT_TOKEN",
    "timezone": "LOOKOUT_TIMEZONE",
    "log_level": "LOOKOUT_LOG_LEVEL",
}


def settings(options: dict[str, Any], data: Path) -> dict[str, str]:
    """Return the variables of Lookout; those of `settings` stand before all others."""
    found = {
        "LOOKOUT_HOST": "0.0.0.0",  # noqa: S104  the container's; a token is needed for it
        "LOOKOUT_DATA_DIR": str(data),
        "LOOKOUT_MEDIA_DIR": "/media",
        "LOOKOUT_WEBHOOK_NETWORKS": INTERNAL,
    }
    for option, variable in PLAIN.items():
        if options.get(option):
            found[variable] = str(options[option])
    for extra in options.get("settings", []):
        found[str(extra["name"])] = str(extra["value"])
    return found


def own(folder: Path) -> None:
    """Make the data folder the user's own, and become that user; nothing where one is not root."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.getuid() != 0:
        return
    os.chown(folder, USER, USER)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)


def main() -> None:
    """Become `lookout serve`."""
    given = [Path(word) for word in sys.argv[1:]]
    options = given[0] if given else Path("/data/options.json")
    data = given[1] if len(given) > 1 else Path("/data/lookout")
    variables = settings(json.loads(options.read_text()), data)
    # A model that was learned lies in the data folder, beside those that come with Lookout.
    kept = {name: value for name, value in os.environ.items() if name != "LOOKOUT_MODELS_DIR"}
    own(data)
    os.execvpe("lookout", ["lookout", "serve"], kept | variables)  # noqa: S606


if __name__ == "__main__":
    main()
