"""List the training pictures with their texts: Open Clip Art drawings and two emoji families."""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import struct
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import resvg_py
from PIL import Image

PUBLIC_DOMAIN = "http://web.resource.org/cc/PublicDomain"
RENDERED_SIDE = 288
MOST_SHARED = 12  # A title on more drawings than this is a series' name, not a drawing's.
MOST_PIXELS = 30_000_000  # A few drawings were rendered as posters: they cost more than they teach.

# Folders whose pictures are interface icons, flags, playing cards or letters: no use as drawings.
SKIPPED_FOLDERS = (
    "buttons",
    "computer/buttons",
    "computer/diagrams",
    "computer/folders",
    "computer/icons",
    "logos",
    "people/smilies",
    "recreation/games/cards",
    "shapes",
    "signs_and_symbols/clocks",
    "signs_and_symbols/flags",
    "signs_and_symbols/led",
    "signs_and_symbols/map_symbols",
    "special",
    "transportation/roadsigns",
    "unsorted/duplicates",
)
# Keywords that describe the medium or nothing at all.
EMPTY_KEYWORDS = {
    "",
    "black and white",
    "cartoon",
    "clip art",
    "clipart",
    "color",
    "colour",
    "contour",
    "externalsource",
    "icon",
    "image",
    "line art",
    "lineart",
    "media",
    "outline",
    "png",
    "public domain",
    "silhouette",
    "svg",
    "unsorted",
}
USELESS_TITLE = re.compile(
    r"^$|^\W+$|^(untitled|various|drawing|image|open clip art logo)|clip ?arts? by", re.IGNORECASE
)
EMOJI_GROUPS = {
    0: "smiley",
    1: "people",
    3: "animal or plant",
    4: "food",
    5: "travel",
    6: "activity",
    7: "object",
    8: "symbol",
}
SYMBOL_GROUP = 8


@dataclass
class Picture:
    """One picture file and the words that its makers gave it."""

    source: str
    key: str
    file: str
    title: str
    keywords: list[str] = field(default_factory=list)
    description: str = ""
    folder: str = ""


def plain(text: str) -> str:
    """Return a text without mark-up, entities, underscores and doubled spaces."""
    # Twice, because some makers' tools escaped what was escaped already.
    text = html.unescape(html.unescape(re.sub(r"<[^>]+>", " ", text)))
    return re.sub(r"[\s_]+", " ", text).strip()


def pixels(path: Path) -> int:
    """Return how many pixels a PNG file has, without decoding it."""
    with path.open("rb") as stream:
        width, height = struct.unpack(">II", stream.read(24)[16:])
    return width * height


def read_svg(path: Path) -> str:
    """Return the text of an SVG file, gzip-compressed or not."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    return content.decode("utf-8", "replace")


def dublin_core(svg: str) -> dict[str, object]:
    """Return title, description, keywords, creator and licence out of an SVG's metadata block."""
    block = re.search(r"<metadata.*?</metadata>|<rdf:RDF.*?</rdf:RDF>", svg, re.DOTALL)
    text = block.group(0) if block else ""
    # Agents carry titles of their own: without them, the first dc:title is the work's.
    work = re.sub(r"<dc:(publisher|creator|rights|contributor)>.*?</dc:\1>", "", text, flags=re.S)

    def first(pattern: str, where: str) -> str:
        found = re.search(pattern, where, re.DOTALL)
        return plain(found.group(1)) if found else ""

    return {
        "title": first(r"<dc:title[^>]*>(.*?)</dc:title>", work),
        "description": first(r"<dc:description[^>]*>(.*?)</dc:description>", work),
        "keywords": [plain(word) for word in re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", text)],
        "creator": first(r"<dc:creator>(.*?)</dc:creator>", text),
        "licence": first(r'<cc:license[^>]*rdf:resource="([^"]+)"', text),
    }


def name_from_file(key: str) -> str:
    """Return what a drawing's file name says, without running numbers and the maker's name."""
    words = plain(key.rsplit("/", 1)[-1])
    words = re.sub(r"\b([a-z]+ [a-z]\.?|architetto\b.*)?(\s*\d+)?$", "", words)
    return re.sub(r"^aiga |[\s\-]*\d+$", "", words).strip() or words


def openclipart(png_root: Path, svg_root: Path) -> list[Picture]:
    """List Open Clip Art drawings whose own licence tag says Public Domain."""
    found = []
    for svg in sorted(svg_root.rglob("*.svg*")):
        key = re.sub(r"\.svgz?(\.gz)?$", "", svg.relative_to(svg_root).as_posix())
        png = png_root / f"{key}.png"
        if any(key.startswith(f"{folder}/") for folder in SKIPPED_FOLDERS) or not png.exists():
            continue
        record = dublin_core(read_svg(svg))
        if record["licence"] != PUBLIC_DOMAIN or pixels(png) > MOST_PIXELS:
            continue
        title = re.sub(r"[\s\-]*\d+\s*$", "", str(record["title"])).replace("-", " ").strip()
        if USELESS_TITLE.search(title):
            title = name_from_file(key)
        makers = {name.strip().lower() for name in re.split(r"[,/]", str(record["creator"]))}
        keywords = [word.lower() for word in record["keywords"]]
        useful = [
            word
            for word in dict.fromkeys(keywords)
            if word not in EMPTY_KEYWORDS | makers
            and len(word) <= 40
            and "http" not in word
            and "rollandin" not in word
        ]
        found.append(
            Picture(
                source="openclipart",
                key=key,
                file=str(png),
                title=title,
                keywords=useful[:12],
                description=str(record["description"]),
                folder=key.rsplit("/", 1)[0] if "/" in key else "",
            )
        )
    shared = Counter(picture.title.lower() for picture in found)
    for picture in found:
        if shared[picture.title.lower()] > MOST_SHARED:
            picture.title = name_from_file(picture.key)
    return found


def icon_svg(collection: dict, name: str) -> str:
    """Return one icon of an Iconify collection as a whole SVG document."""
    icon = collection["icons"][name]
    width = icon.get("width", collection.get("width", 16))
    height = icon.get("height", collection.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{icon["body"]}</svg>'


def render(svg: str, target: Path) -> None:
    """Draw an SVG text into a PNG file."""
    drawn = resvg_py.svg_to_bytes(svg_string=svg, width=RENDERED_SIDE)
    with Image.open(io.BytesIO(bytes(drawn))) as picture:
        picture.save(target)


def short_code(code: str) -> str:
    """Return an emoji's code points in the form that all packages can be compared in."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def emoji_texts(names_root: Path, keywords_root: Path) -> dict[str, tuple[str, list[str], str]]:
    """Return label, keywords and group of every emoji that is a picture of something."""
    entries = json.loads((names_root / "package/en/data.json").read_text("utf-8"))
    annotated = json.loads(
        (keywords_root / "package/annotations/en/annotations.json").read_text("utf-8")
    )["annotations"]["annotations"]
    texts = {}
    for entry in entries:
        if entry.get("group") not in EMOJI_GROUPS:
            continue
        extra = annotated.get(entry["emoji"], {}).get("default", [])
        keywords = sorted({*entry.get("tags", []), *extra})
        label = entry["label"].replace("“", "").replace("”", "")
        group = EMOJI_GROUPS[entry["group"]]
        texts[short_code(entry["hexcode"])] = (label, keywords, group)
    return texts


def emoji(folders: dict[str, Path], rendered: Path) -> list[Picture]:
    """List emoji pictures of the Noto (old and new) and Fluent (3D and flat) families."""
    rendered.mkdir(parents=True, exist_ok=True)
    texts = emoji_texts(folders["emoji_names"], folders["emoji_keywords"])
    noto = json.loads((folders["noto"] / "package/icons.json").read_text("utf-8"))
    slugs: dict[str, str] = {}
    for code, name in json.loads(
        (folders["noto"] / "package/chars.json").read_text("utf-8")
    ).items():
        slugs.setdefault(short_code(code), name)
    found = []

    def add(source: str, code: str, file: Path) -> None:
        label, keywords, group = texts[code]
        found.append(Picture(source, code, str(file), label, keywords, "", group))

    for source in ("noto", "noto_v1", "fluent_flat"):
        path = folders[source] / "package/icons.json"
        drawings = noto if source == "noto" else json.loads(path.read_text("utf-8"))
        for code, (_, _, group) in texts.items():
            slug = slugs.get(code)
            # Faces, people and signs are drawn alike everywhere: one family of them is enough.
            if source != "noto" and group in ("smiley", "people", EMOJI_GROUPS[SYMBOL_GROUP]):
                continue
            if slug in drawings["icons"]:
                target = rendered / f"{source}_{code}.png"
                if not target.exists():
                    render(icon_svg(drawings, slug), target)
                add(source, code, target)
    for file in sorted((folders["fluent_3d"] / "package/assets").glob("*.webp")):
        code = short_code(file.stem)
        if code in texts and texts[code][2] not in ("people", EMOJI_GROUPS[SYMBOL_GROUP]):
            add("fluent_3d", code, file)
    return found


def list_pictures(folders: dict[str, Path], work: Path) -> list[Picture]:
    """Return all training candidates, in a fixed order; the list is kept in the work folder."""
    cache = work / "pictures.json"
    if cache.exists():
        return [Picture(**record) for record in json.loads(cache.read_text("utf-8"))]
    inner = "usr/share/openclipart"
    pictures = openclipart(
        folders["openclipart_png"] / inner / "png", folders["openclipart_svg"] / inner / "svg"
    )
    pictures += emoji(folders, work / "rendered")
    cache.write_text(json.dumps([asdict(picture) for picture in pictures]), "utf-8")
    return pictures
