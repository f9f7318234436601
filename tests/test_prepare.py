"""A picture made ready: the same by torch as by Pillow, whatever kind of picture it is."""

from io import BytesIO
from pathlib import Path

import numpy as np
import odd_files
import pytest
from PIL import Image, ImageCms, ImageDraw

from image_search import images
from image_search.encoder import Preprocessing
from image_search.errors import PictureError
from image_search.prepare import Prepared, Preparer, preparer

CLIP = Preprocessing(
    size=224,
    fit="crop",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
SIDE = 1024


def by(resizer: str, max_pixels: int = images.MAX_PIXELS) -> Preparer:
    return preparer(resizer, CLIP, SIDE, max_pixels)  # type: ignore[arg-type]


def drawing(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Lines and areas, hard edges and soft ones."""
    image = Image.new("RGB", (width, height), (240, 230, 210))
    draw = ImageDraw.Draw(image)
    for n in range(12):
        x, y = width * n // 12, height * n // 12
        draw.line([(x, 0), (width - x, height)], fill=(n * 20, 40, 90), width=1 + n // 3)
        draw.ellipse([x, y, x + width // 5, y + height // 6], fill=(200, n * 15, 60))
    return image.convert(mode)


def saved(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image, exif=exif)


KINDS = {
    "plain": saved(drawing(900, 700)),
    "small": saved(drawing(90, 70)),
    "as small as the model's square": saved(drawing(224, 224)),
    "grey": saved(drawing(700, 900, "L")),
    "progressive": saved(drawing(640, 480), progressive=True),
    "every colour": saved(drawing(640, 480), subsampling=0),
    "cmyk": saved(drawing(640, 480, "CMYK")),
    "turned": turned(drawing(640, 480)),
    "srgb": saved(
        drawing(640, 480),
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ),
    "palette": saved(drawing(640, 480, "P"), "PNG"),
    "transparent": saved(drawing(640, 480, "RGBA"), "PNG"),
    "webp": saved(drawing(640, 480), "WEBP", quality=95),
    "dot": saved(drawing(1, 1), "PNG"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_torch_gives_what_pillow_gives(kind: str) -> None:
    ours, theirs = by("torch")(KINDS[kind]), by("pillow")(KINDS[kind])
    assert (ours.width, ours.height) == (theirs.width, theirs.height)
    assert ours.pixels.shape == theirs.pixels.shape == (224, 224, 3)
    assert ours.pixels.dtype == np.uint8
    difference = np.abs(ours.pixels.astype(int) - theirs.pixels)
    assert difference.mean() < 0.1
    assert difference.max() <= 3
    assert pixels_of(ours.thumbnail).shape == pixels_of(theirs.thumbnail).shape
    # Bicubic here, Lanczos there: both are good, neither is the other.
    assert np.abs(pixels_of(ours.thumbnail) - pixels_of(theirs.thumbnail)).mean() < 6
    assert np.abs(pixels_of(ours.stored) - pixels_of(theirs.stored)).mean() < 1


@pytest.mark.parametrize("size", [(2500, 1700), (1300, 4001), (9000, 100)])
def test_a_large_jpeg_is_decoded_at_a_fraction_and_stored_no_larger_than_asked(
    size: tuple[int, int],
) -> None:
    data = saved(drawing(*size))
    ours, theirs = by("torch")(data), by("pillow")(data)
    assert max(ours.width, ours.height) == SIDE
    assert abs(ours.width - theirs.width) <= 1
    assert abs(ours.height - theirs.height) <= 1
    assert Image.open(BytesIO(ours.stored)).size == (ours.width, ours.height)
    assert np.abs(ours.pixels.astype(int) - theirs.pixels).mean() < 4


@pytest.mark.parametrize("resizer", ["pillow", "torch"])
def test_what_a_browser_shows_is_kept_byte_by_byte(resizer: str) -> None:
    assert by(resizer)(KINDS["plain"]).stored == KINDS["plain"]
    assert by(resizer)(KINDS["turned"]).stored != KINDS["turned"]


def test_every_odd_file_fares_the_same_by_torch_and_by_pillow(tmp_path: Path) -> None:
    odd_files.make_odd_files(tmp_path)
    compared = 0
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_size < 1e7):
        compared += 1
        data = path.read_bytes()
        ours, theirs = (_outcome(by(resizer, 2_000_000), data) for resizer in ("torch", "pillow"))
        if isinstance(theirs, str):
            assert ours == theirs, path
        else:
            assert isinstance(ours, Prepared), path
            assert (ours.width, ours.height) == (theirs.width, theirs.height), path
    assert compared > 40


def _outcome(prepare: Preparer, data: bytes) -> Prepared | str:
    try:
        return prepare(data)
    except PictureError as error:
        return str(error)
