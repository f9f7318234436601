"""The collection that comes with the project, built on first use by the real builder."""

import hashlib
import shutil
from pathlib import Path

from tqdm import tqdm

from image_search.artifact import Artifact
from image_search.build import build
from image_search.collection import Collection
from image_search.encoder import EMBEDDED, embedded_encoder
from image_search.errors import ArtifactError
from image_search.folder import open_folder
from image_search.manifest import FORMAT_VERSION, CollectionInfo
from image_search.settings import ROOT, settings

FOLDER = ROOT / "assets" / "demo"

PROMPTS = (
    "A steam engine",
    "An illustration of the sun behind a mountain",
    "A musical instrument",
    "A guitar",
    "An animal",
    "An illustration of a cat or a dog",
    "an empty abyss",
)
"""What Daniel van Strien asked the British Library's book illustrations in 2022."""

LABELLED = {
    "a statue of Buddha": "buddha|bodhisattva|maitreya|avalokite|statue",
    "a galaxy": "galaxy|galaxies|nebula|hubble|star",
    "a rocket launch": "rocket|launch|shuttle|apollo",
    "a guitar": "guitar",
    "a musical instrument": "instrument|guitar|violin|music|drum|piano|flute|trumpet",
    "a bird": "bird|owl|duck|parrot|eagle|penguin|hen|rooster|goose|swan",
    "a cat": "cat|kitten",
    "a dog": "dog|puppy",
    "a house": "house|home|cottage|building|castle",
    "flowers": "flower|rose|tulip|daisy|bouquet|iris|lily",
}
"""A question and what the title or keywords of a right answer hold (a regular expression)."""

INFO = CollectionInfo(
    name="Demonstration collection",
    description="Works of museums in New York and Seoul, NASA's photographs of space, and "
    "drawings, all free to use.",
    rights="Every picture states its own; all are free to use, some with the credit "
    "line that is given.",
)


def ensure_demo() -> Path:
    """The folder of the built demo; builds it, with its progress shown, if it is not there yet."""
    out = settings().cache / f"demo-{_key()}"
    try:
        return Artifact.open(out).path
    except ArtifactError:  # not built yet, or damaged: it is ours to build again
        shutil.rmtree(out, ignore_errors=True)
    collection = open_collection()
    with tqdm(total=len(collection), desc="Building the demo", unit=" pictures") as progress:
        build(collection, embedded_encoder(), out, INFO, progress=progress)
    return out


def open_collection() -> Collection:
    """The demo's pictures and metadata, not built."""
    return open_folder(
        FOLDER / "pictures", metadata=FOLDER / "metadata.csv", fields=FOLDER / "fields.toml"
    )


def _key() -> str:
    """A name that changes when the demo's pictures or description, the encoder or the format do."""
    digest = hashlib.sha256(f"{FORMAT_VERSION} {INFO}".encode())
    for path in (FOLDER / "fields.toml", FOLDER / "SHA256SUMS", EMBEDDED / "encoder.json"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
