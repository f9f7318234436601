"""How a dataset of the Hub is written."""

import re

REPO = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\S+))?", re.ASCII)
"""user/name, or user/name@revision."""
