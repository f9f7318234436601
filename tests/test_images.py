"""Decoding: exact pixels for every mode, no error but PictureError for any bytes."""

import io
import random
import struct

import numpy as np
import pytest
from odd_files import bad_files, encoded, exif, good_files, picture, png_of_size
from PIL import Image, ImageCms

from image_search import images
from image_search.errors import PictureError

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)
GOOD, BAD = good_files(), bad_files()


def solid(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (2, 2), colour)  # type: ignore[arg-type]


def palette(**info: object) -> Image.Image:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.info.update(info)
    return image


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def pixels(image: Image.Image) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return np.asarray(image).astype(np.int64)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (solid("1", 1), WHITE),
        (solid("L", 100), (100, 100, 100)),
        (solid("LA", (100, 255)), (100, 100, 100)),
        (solid("LA", (0, 0)), WHITE),
        (solid("LA", (0, 128)), (127, 127, 127)),
        (solid("LA", (0, 128)).convert("La"), (127, 127, 127)),
        (palette(), RED),
        (palette(transparency=1), WHITE),
        (palette(transparency=0), RED),
        (palette(transparency=b"\xff\x80"), (255, 127, 127)),
        (palette().convert("PA"), RED),
        (solid("RGB", RED), RED),
        (solid("RGBA", (255, 0, 0, 128)), (255, 127, 127)),
        (solid("RGBA", (0, 0, 0, 0)), WHITE),
        (solid("RGBA", (255, 0, 0, 128)).convert("RGBa"), (255, 127, 127)),
        (solid("RGBX", (255, 0, 0, 0)), RED),
        (solid("CMYK", (0, 0, 0, 0)), WHITE),
        (solid("CMYK", (0, 255, 255, 0)), RED),
        (solid("CMYK", (0, 0, 0, 255)), BLACK),
        (solid("YCbCr", (255, 128, 128)), WHITE),
        (solid("YCbCr", (76, 85, 255)), (254, 0, 0)),
        (solid("LAB", (0, 128, 128)), (1, 0, 1)),  # rounded within LittleCMS
        (solid("HSV", (0, 255, 255)), RED),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_every_mode_becomes_rgb_flattened_on_white(
    image: Image.Image, expected: tuple[int, int, int]
) -> None:
    mode, before = image.mode, image.tobytes()
    rgb = images.to_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", (2, 2))
    assert rgb.getcolors() == [(4, expected)]
    assert (image.mode, image.tobytes()) == (mode, before)


def test_a_transparent_colour_of_an_rgb_png_is_white() -> None:
    data = encoded("PNG", image=solid("RGB", RED), transparency=RED)
    assert images.decode(data).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
@pytest.mark.parametrize(
    ("ramp", "expected"),
    [
        ([0, 32768, 65535], [0, 128, 255]),
        ([0, 257, 16384], [0, 1, 64]),
        ([0, 2048, 4095], [0, 128, 255]),  # 12 bits in 16
        ([0, 128, 255], [0, 128, 255]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_16_bits_are_scaled_not_clipped(mode: str, ramp: list[int], expected: list[int]) -> None:
    order = ">" if mode == "I;16B" else "<"
    image = Image.frombytes(mode, (3, 1), struct.pack(f"{order}3H", *ramp))
    assert pixels(images.to_rgb(image))[0].tolist() == [[v, v, v] for v in expected]


@pytest.mark.parametrize(
    ("kind", "ramp", "expected"),
    [
        (np.int32, [0, 32768, 65535], [0, 128, 255]),
        (np.int32, [0, 2048, 4095], [0, 128, 255]),
        (np.int32, [-10, 0, 10], [0, 128, 255]),
        (np.int32, [7, 7, -7], [255, 255, 0]),
        (np.int32, [0, 0, 1_000_000], [0, 0, 255]),
        (np.float32, [0, 0.5, 1], [0, 128, 255]),
        (np.float32, [0, 100, 255], [0, 100, 255]),
        (np.float32, [-1, 0, 1], [0, 128, 255]),
        (np.float32, [np.nan, np.inf, -np.inf], [0, 0, 0]),
        (np.float32, [0.2, np.nan, np.inf], [51, 51, 51]),
        (np.float32, [-np.inf, 0, 500], [0, 0, 255]),
    ],
)
def test_numbers_are_scaled_by_the_documented_rule(
    kind: type[np.generic], ramp: list[float], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([ramp], kind))
    assert pixels(images.to_rgb(image))[0].tolist() == [[v, v, v] for v in expected]


def swapped_profile() -> bytes:
    """sRGB with red and green exchanged, under a name that is not sRGB."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = [("rXYZ", "tmp1"), ("gXYZ", "rXYZ"), ("tmp1", "gXYZ")]
    for old, new in tags:
        profile = profile.replace(old.encode(), new.encode())
    return profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_a_colour_profile_is_converted_to_srgb_and_dropped() -> None:
    data = encoded("PNG", image=solid("RGB", RED), icc_profile=swapped_profile())
    red, green, blue = images.decode(data).getpixel((0, 0))  # type: ignore[misc]
    assert red < 5
    assert green > 250
    assert blue < 5
    assert images.decode(data).info == {}


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L", "RGBA"])
@pytest.mark.parametrize("profile", [b"", b"not a profile", swapped_profile()[:300]])
def test_a_damaged_profile_is_ignored(mode: str, profile: bytes) -> None:
    image = picture(mode)
    expected = images.to_rgb(image).tobytes()
    image.info["icc_profile"] = profile
    assert images.to_rgb(image).tobytes() == expected


def test_srgb_is_left_alone() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded("PNG", icc_profile=profile)
    assert images.decode(data).tobytes() == picture().tobytes()


@pytest.mark.parametrize("name", GOOD)
def test_every_good_file_is_decoded(name: str) -> None:
    image = images.decode(GOOD[name])
    expected = {"turned.jpg": (32, 48), "one pixel.png": (1, 1), "a line.png": (900, 1)}
    assert (image.mode, image.size) == ("RGB", expected.get(name, (48, 32)))
    assert image.info == {}


@pytest.mark.parametrize("name", ["rgb.png", "picture.bmp", "plain.tif", "lzw.tif", "animated.png"])
def test_lossless_files_keep_their_pixels_of_the_first_frame(name: str) -> None:
    assert images.decode(GOOD[name]).tobytes() == picture().tobytes()


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"one pixel.png", "a line.png", "turned.jpg"}))
def test_every_good_file_shows_the_same_picture(name: str) -> None:
    grey = pixels(images.decode(GOOD[name]).convert("L").resize((4, 4), Image.Resampling.BOX))
    expected = pixels(picture("L").resize((4, 4), Image.Resampling.BOX))
    if name == "palette with a hole.png":
        assert (grey >= expected - 8).all()
    else:
        assert np.abs(grey - expected).max() <= 8


@pytest.mark.parametrize("name", BAD)
def test_every_bad_file_is_refused_with_its_reason(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(PictureError) as error:
        images.decode(data)
    assert str(error.value).startswith(reason)


# cut anywhere else, these may still have all pixels of the first frame
MORE_THAN_PIXELS = ("animated", "two views.mpo", "two pages.tif", "one pixel.png", "a line.png")


@pytest.mark.parametrize("name", [n for n in GOOD if not n.startswith(MORE_THAN_PIXELS)])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_never_a_picture(name: str, part: float) -> None:
    data = GOOD[name]
    with pytest.raises(PictureError):
        images.decode(data[: int(len(data) * part)])


@pytest.mark.parametrize("name", GOOD)
def test_no_error_but_picture_error_for_any_bytes(name: str) -> None:
    random_ = random.Random(name)
    for _ in range(25):
        data = bytearray(GOOD[name])
        if random_.random() < 0.2:
            del data[random_.randrange(len(data)) :]
        for _ in range(random_.choice((1, 3, 20)) if data else 0):
            reach = random_.choice((40, 300, len(data)))
            data[random_.randrange(min(len(data), reach))] = random_.randrange(256)
        try:
            image = images.decode(bytes(data), max_pixels=1_000_000, max_side=100)
        except PictureError as error:
            reason = str(error)
        else:
            reason = ""
            assert image.mode == "RGB"
            assert images.media_type(images.stored(bytes(data), image, 100)).startswith("image/")
        assert len(reason) < 150
        assert reason.isascii() or "×" in reason
        assert reason.isprintable()


def test_noise_is_refused_whatever_its_length() -> None:
    random_ = random.Random(0)
    for length in range(1, 40):
        with pytest.raises(PictureError):
            images.decode(random_.randbytes(length))


def test_the_limit_counts_before_a_pixel_is_decoded() -> None:
    data = encoded("PNG")
    assert images.decode(data, max_pixels=48 * 32).size == (48, 32)
    with pytest.raises(PictureError) as error:
        images.decode(data, max_pixels=48 * 32 - 1)
    assert str(error.value) == "too large: 48 × 32 pixels (the limit is 1535 pixels)"
    with pytest.raises(PictureError, match="^too large: 60000 × 60000 pixels"):
        images.decode(png_of_size(60000, 60000), max_side=100)


def test_too_little_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(image: Image.Image) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(images, "to_rgb", no_memory)
    with pytest.raises(PictureError, match="^too large: 48 × 32 pixels do not fit"):
        images.decode(encoded("PNG"))


# Where the first and the last pixel of the first stored row belong (EXIF 2.32, orientation).
CORNERS = {
    1: ("top left", "top right"),
    2: ("top right", "top left"),
    3: ("bottom right", "bottom left"),
    4: ("bottom left", "bottom right"),
    5: ("top left", "bottom left"),
    6: ("top right", "bottom right"),
    7: ("bottom right", "top right"),
    8: ("bottom left", "top left"),
}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("max_side", [None, 1000])
def test_pictures_are_turned_upright(orientation: int, format: str, max_side: int | None) -> None:
    image = Image.new("RGB", (6, 4), "white")
    image.putpixel((0, 0), RED)
    image.putpixel((5, 0), (0, 0, 255))
    data = encoded(format, image=image, exif=exif(orientation), lossless=True)
    upright = images.decode(data, max_side=max_side)
    assert upright.size == ((6, 4) if orientation < 5 else (4, 6))
    width, height = upright.size
    at = {
        "top left": (0, 0),
        "top right": (width - 1, 0),
        "bottom left": (0, height - 1),
        "bottom right": (width - 1, height - 1),
    }
    first, last = CORNERS[orientation]
    assert upright.getpixel(at[first]) == RED
    assert upright.getpixel(at[last]) == (0, 0, 255)


@pytest.mark.parametrize("format", ["HEIF", "AVIF", "JPEG"])
def test_pictures_are_turned_once(format: str) -> None:
    upright = images.decode(encoded(format, exif=exif(6)))
    expected = picture().transpose(Image.Transpose.ROTATE_270)
    assert upright.size == expected.size
    assert np.abs(pixels(upright) - pixels(expected)).mean() < 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's; an error in tests otherwise
def test_damaged_exif_does_not_cost_the_picture() -> None:
    data = encoded("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff")
    assert images.decode(data).size == (48, 32)
    assert images.decode(encoded("PNG", exif=exif(77))).tobytes() == picture().tobytes()


def test_max_side_uses_the_fast_path_of_large_jpegs_without_being_seen() -> None:
    large = picture(size=(2400, 1200))
    data = encoded("JPEG", image=large, exif=exif(6))
    small = images.decode(data, max_side=200)
    assert small.size == (100, 200)
    slow = images.decode(data).resize((100, 200), Image.Resampling.LANCZOS)
    assert np.abs(pixels(small) - pixels(slow)).mean() < 1.5
    assert images.decode(data, max_side=2400).size == (1200, 2400)
    assert images.decode(encoded("PNG"), max_side=24).size == (24, 16)
    assert images.decode(GOOD["a line.png"], max_side=9).size == (9, 1)


def test_thumbnails_are_small_webps_and_the_same_each_time() -> None:
    image = picture(size=(600, 400))
    data = images.thumbnail(image)
    assert opened(data).format == "WEBP"
    assert opened(data).size == (256, 171)
    assert images.thumbnail(image) == data
    assert opened(images.thumbnail(picture())).size == (48, 32)
    assert opened(images.thumbnail(Image.new("RGB", (5000, 2)), 64)).size == (64, 1)
    assert image.size == (600, 400)


@pytest.mark.parametrize(
    "name",
    ["grey.jpg", "progressive.jpg", "two views.mpo", "rgb.png", "grey.png", "bilevel.png",
     "palette.png", "lossy.webp", "still.gif", "really a jpeg.txt"],
)  # fmt: skip
def test_what_a_browser_shows_is_stored_as_it_is(name: str) -> None:
    data = GOOD[name]
    assert images.stored(data, images.decode(data), 48) is data


@pytest.mark.parametrize(
    "name",
    ["cmyk.jpg", "turned.jpg", "see-through.png", "palette with a hole.png", "16 bits.png",
     "animated.png", "lossless.webp", "animated.webp", "animated.gif", "lzw.tif", "picture.avif",
     "picture.heic", "picture.jp2", "picture.bmp"],
)  # fmt: skip
def test_everything_else_is_stored_as_an_upright_jpeg(name: str) -> None:
    image = images.decode(GOOD[name])
    kept = opened(images.stored(GOOD[name], image, 1024))
    assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", image.size)
    assert np.abs(pixels(kept) - pixels(image)).mean() < 6


def test_large_pictures_are_stored_smaller_and_without_the_source_s_profile() -> None:
    data = encoded("JPEG", icc_profile=swapped_profile(), comment=b"by hand")
    kept = opened(images.stored(data, images.decode(data), 24))
    assert kept.size == (24, 16)
    assert not {"icc_profile", "comment", "exif"} & set(kept.info)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grey.jpg", "image/jpeg"),
        ("two views.mpo", "image/jpeg"),
        ("rgb.png", "image/png"),
        ("lossy.webp", "image/webp"),
        ("still.gif", "image/gif"),
        ("plain.tif", "image/tiff"),
        ("picture.bmp", "image/bmp"),
        ("picture.avif", "image/avif"),
        ("picture.heic", "image/heif"),
        ("picture.jp2", "image/jp2"),
    ],
)
def test_media_types(name: str, expected: str) -> None:
    assert images.media_type(GOOD[name]) == expected
    assert images.media_type(GOOD[name][:16]) == expected


def test_what_is_no_picture_has_no_picture_s_media_type() -> None:
    for data in (b"", b"<html>", b"\xff\xd8", BAD["film.mp4"][0]):
        assert images.media_type(data) == "application/octet-stream"


def test_a_head_may_end_within_a_character() -> None:
    for length in range(images.HEAD_BYTES - 3, images.HEAD_BYTES + 4):
        with pytest.raises(PictureError, match="looks like text"):
            images.check_head(("ü€𝄞" * 300).encode()[:length])


def test_a_jpeg_of_very_many_scans_is_refused_at_once() -> None:
    """Each costs as much as the whole picture: a small file could keep a server for minutes."""
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert images.decode(data)
    many = data[:last] + data[last:-2] * images.MAX_SCANS + data[-2:]
    with pytest.raises(PictureError, match="more than 200 scans"):
        images.decode(many)
