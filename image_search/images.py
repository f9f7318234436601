"""Pictures: bytes in, upright RGB pixels out; and the bytes that are kept and shown.

Knows nothing of folders, datasets or models. Whatever the bytes are, the only error that leaves
`decode` is PictureError, whose text is short and stable enough to be counted in rejects.csv.

How pixels become RGB (`to_rgb`):

    transparency         flattened on white
    16 bits a pixel      scaled by the smallest of 8, 10, 12, 14 and 16 bits that holds all values:
                         12 bits are often stored in 16, and would come out black otherwise
    I (32 bit), F        as 16 bits (I) or as 0…1 or 0…255 (F) if all values lie there; else darkest
                         to brightest; NaN is darkest, ±inf the ends of the finite values
    a colour profile     RGB and CMYK become sRGB (wide-gamut scans look dull and CMYK scans garish
                         otherwise); damaged profiles and those of grey pictures are ignored
"""

import codecs
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from math import ceil
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from image_search.errors import PictureError

Image.init()  # registers Pillow's own formats
# One thread a picture: whole pictures are decoded side by side. No embedded HEIF thumbnails: they
# would stand in for a damaged picture.
pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False)

# The only formats ever tried: never EPS (it starts Ghostscript) and the rarely tested rest. JPEG
# includes MPO. AVIF stands before HEIF: both share a magic number, and AVIF tells them apart.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000")

# Pillow's own limit against decompression bombs; an A0 sheet at 300 dpi has 140 million pixels.
MAX_PIXELS = 178_956_970
# A progressive JPEG has about ten scans; each costs as much as the whole picture.
MAX_SCANS = 200
# How much of a file `check_head` wants to see.
HEAD_BYTES = 1024

_NOT_PICTURES = (
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (0, b"8BPS", "a Photoshop document; export it as TIFF or PNG"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (4, b"ftyp", "a video"),
    (8, b"AVI ", "a video"),
)
# How decoders say that bytes are missing.
_CUT_SHORT = re.compile("(?i)truncated|end of file|requires a buffer|not enough|only got|range$")
_WEB_PAGES = ("<!doctype html", "<html", "<head", "<body", "<script")

# Formats and modes that every browser shows as they are.
_SHOWN_AS_IS = {
    "JPEG": {"L", "RGB"},
    "MPO": {"L", "RGB"},
    "PNG": {"1", "L", "P", "RGB"},
    "WEBP": {"RGB"},
    "GIF": {"L", "P", "RGB"},
}

_UPRIGHT = {  # EXIF 2.32, table 6
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, max_pixels: int = MAX_PIXELS, max_side: int | None = None) -> Image.Image:
    """The first frame or page of a picture: upright, RGB, flattened on white.

    `max_pixels` is compared with the size in the header, before any pixel is decoded. With
    `max_side` the result's longest side is at most that many pixels; large JPEGs are then decoded
    at a fraction of their size, never below twice the result's. Raises PictureError; but pixels
    overwritten within a WebP, HEIF, AVIF, BMP or TIFF, which have no checksums, can go unseen.
    """
    image = open_header(data, max_pixels)
    width, height = image.size
    try:
        if max_side is not None:
            fraction = 2 * max_side / max(width, height)
            if fraction < 1:  # only JPEG does something here
                image.draft(None, (ceil(width * fraction), ceil(height * fraction)))
        if image.format == "PNG":  # load() passes over the checksums of the pixels
            _open(data).verify()
        image.load()
        rgb = to_rgb(image)
        if max_side is not None:
            rgb = fit(rgb, max_side)
        # after load(): a TIFF is turned by Pillow then, a PNG may keep its EXIF at the end
        turn = _UPRIGHT.get(_orientation(image))
        if turn is not None:
            rgb = rgb.transpose(turn)
    except MemoryError as error:
        size = f"{width} × {height} pixels"
        raise PictureError(f"too large: {size} do not fit into the memory") from error
    except Exception as error:  # decoders raise anything: struct.error, SyntaxError, KeyError …
        raise PictureError(_damage(error)) from error
    rgb.info = {}  # what the file said of itself is not true of these pixels any more
    return rgb


def open_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture of which only the header was read. Raises PictureError if it is not to be read."""
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        size = f"{width} × {height} pixels"
        raise PictureError(f"too large: {size} (the limit is {max_pixels} pixels)")
    if image.format in ("JPEG", "MPO") and _scans(data) > MAX_SCANS:
        raise PictureError(f"damaged: more than {MAX_SCANS} scans")
    return image


def is_plain_jpeg(header: Image.Image) -> bool:
    """Whether the pixels of a JPEG are all there is to it: upright, grey or RGB, in sRGB."""
    return (
        header.format == "JPEG"
        and header.mode in ("L", "RGB")
        and header.info.get("adobe_transform", 1) == 1
        and _orientation(header) == 1
        and ("icc_profile" not in header.info or _is_srgb(header))
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB by the rules above; plain RGB is returned as it is, not copied.

    Never looks at the orientation, never changes `image`.
    """
    if image.mode == "CMYK":
        return _to_srgb(image, image.info) or image.convert("RGB")
    if image.mode.startswith("I;16"):
        rgb = Image.fromarray(_from_16_bits(np.asarray(image))).convert("RGB")
    elif image.mode in ("I", "F"):
        grey = _from_numbers(np.asarray(image), image.mode)
        rgb = Image.fromarray(grey).convert("RGB")
    elif image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        rgb = Image.new("RGB", image.size, "white")
        rgb.paste(rgba, mask=rgba)
    else:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    return _to_srgb(rgb, image.info) or rgb


def thumbnail(image: Image.Image, side: int = 256) -> bytes:
    """A small WebP of an RGB picture: longest side at most `side` pixels, never enlarged.

    The same pixels give the same bytes, about 9 KB at 256 px.
    """
    # Measured: the slower methods save an eighth of the bytes, and nearly double the time that a
    # picture takes in a build on a GPU.
    return _encode(fit(image, side), "WEBP", quality=75, method=0)


def stored(data: bytes, image: Image.Image, max_side: int) -> bytes:
    """The bytes of a picture that are kept: the original's where a browser shows them as they are.

    `image` is what `decode` made of `data`. Originals stay when they are JPEG, PNG, WebP or GIF in
    grey, palette or RGB, upright, still, opaque (a drawing on nothing vanishes on a dark page) and
    within `max_side` pixels. Everything else becomes a JPEG (quality 90, 4:4:4: red ink and line
    art keep their edges) of at most `max_side`.
    """
    return data if is_shown_as_is(_open(data), max_side) else as_jpeg(fit(image, max_side))


def as_jpeg(image: Image.Image) -> bytes:
    """An RGB picture as the JPEG that is stored: quality 90, 4:4:4."""
    # Not `optimize`: it needs the whole file in one buffer, which a grainy scan overruns.
    return _encode(image, "JPEG", quality=90, subsampling=0)


def media_type(data: bytes) -> str:
    """The media type by the first bytes, such as "image/jpeg"; octet-stream if not of FORMATS."""
    return next((Image.MIME[name] for name in _formats(data)), "application/octet-stream")


def check_head(head: bytes) -> None:
    """Raise PictureError with the reason if the first HEAD_BYTES of a file are not a picture's."""
    if not head:
        raise PictureError("empty file (0 bytes)")
    if not _formats(head):
        what = _what_else(head[:HEAD_BYTES])
        raise PictureError(f"not a picture ({what})" if what else "not a picture")


def _formats(head: bytes) -> list[str]:
    def accepts(name: str) -> bool:
        accept = Image.OPEN[name][1]
        return accept is not None and bool(accept(head[:16]))

    return [name for name in FORMATS if accepts(name)]


def _scans(data: bytes) -> int:
    """How many scans a JPEG has, or a few more: the marker of one may stand in its metadata too."""
    # As pairs of bytes from an even and from an odd place: `bytes.count` takes seven times as long.
    pairs = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(pair == 0xDAFF)) for pair in pairs)


def _what_else(head: bytes) -> str | None:
    for offset, magic, what in _NOT_PICTURES:
        if head.startswith(magic, offset):
            return what
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    try:  # incremental: the head may end in the middle of a character
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head).lstrip().lower()
    except UnicodeDecodeError:
        return None
    if text.startswith(_WEB_PAGES):
        return "looks like a web page"
    if "<svg" in text:
        return "an SVG drawing; export it as PNG"
    return "looks like text" if all(c.isprintable() or c.isspace() for c in text) else None


def _open(data: bytes) -> Image.Image:
    """As Image.open, without Pillow's process-wide limit, and with the reason if it fails."""
    check_head(data[:HEAD_BYTES])
    reasons: list[Exception] = []
    for name in _formats(data):
        try:
            return Image.OPEN[name][0](BytesIO(data), "")
        except Exception as error:  # as in decode
            reasons.append(error)
    raise PictureError(_damage(reasons[-1])) from reasons[-1]


def _damage(error: Exception) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: {words}"
    if isinstance(error, EOFError | struct.error) or _CUT_SHORT.search(words):
        return "damaged: truncated"
    if "checksum" in words:
        return "damaged: bad checksum"
    words = words.partition(" (")[0]  # what stands in brackets differs from file to file
    words = words.encode("ascii", "backslashreplace").decode()[:100]
    return f"damaged: {words if any(map(str.isalpha, words)) else 'bad header'}"


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF: the pixels are good all the same
        return 1
    return value if isinstance(value, int) else 1


def is_shown_as_is(header: Image.Image, max_side: int) -> bool:
    """Whether a picture that can be decoded is kept as it came, see `stored`."""
    try:
        return (
            header.mode in _SHOWN_AS_IS.get(header.format or "", set())
            and max(header.size) <= max_side
            and not header.has_transparency_data
            and _orientation(header) == 1
            # the further pictures of an MPO are other views, which a browser passes over
            and (header.format == "MPO" or not getattr(header, "is_animated", False))
        )
    except Exception:  # a damaged second frame, for example: the first one was decoded
        return False


def fit(image: Image.Image, side: int) -> Image.Image:
    """The picture with a longest side of at most `side` pixels; itself if it has that."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _encode(image: Image.Image, format: str, **options: int | bool) -> bytes:
    buffer = BytesIO()
    # else Pillow copies the profile and the comment of the file that the picture came from
    image.save(buffer, format, icc_profile=None, comment=None, **options)
    return buffer.getvalue()


def _from_16_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    brightest = int(values.max(initial=0))
    white = next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if brightest < 2**bits)
    return np.asarray((values.astype(np.uint32) * 255 + white // 2) // white, np.uint8)


def _from_numbers(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    black, white = low, high
    if low >= 0 and high <= 65535 and mode == "I":
        return _from_16_bits(values)
    if low >= 0 and high <= 255 and mode == "F":
        black, white = 0.0, 1.0 if high <= 1 else 255.0
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return np.asarray(np.rint((values - black) / ((white - black) or 1) * 255), np.uint8)


def _to_srgb(image: Image.Image, info: Mapping[Any, Any]) -> Image.Image | None:
    """The picture in sRGB, or None where it has no profile of its mode or is in sRGB already."""
    profile = info.get("icc_profile")
    if not profile:
        return None
    try:
        transform = _transform(profile, image.mode)
        return None if transform is None else ImageCms.applyTransform(image, transform)
    except Exception:  # a damaged profile must not cost the picture
        return None


def _is_srgb(image: Image.Image) -> bool:
    try:
        return _transform(image.info["icc_profile"], image.mode) is None
    except Exception:  # a damaged profile counts as none
        return True


@lru_cache(maxsize=16)  # a collection has few profiles, and building a transform costs milliseconds
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    space, name = source.profile.xcolor_space.strip(), ImageCms.getProfileDescription(source)
    if space != mode or "sRGB" in name:
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
