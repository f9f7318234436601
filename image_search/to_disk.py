"""Having on the disk what was written."""

import os
from pathlib import Path


def to_disk(path: Path) -> None:
    """Have a file or folder written for good, so that a rename after it means that it is whole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
