"""Telling the operator: a line on standard error, at once."""

import sys


def say(text: str) -> None:
    """Tell the operator."""
    print(text, file=sys.stderr, flush=True)
