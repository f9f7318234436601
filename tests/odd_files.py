"""Odd and damaged files as they turn up in real folders, all made by code."""

import io
import os
import struct
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()

SIZE = (48, 32)


def picture(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """A smooth picture with a little noise: left to right darker, top to bottom redder."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    noise = np.random.default_rng(0).random((height, width)) * 20
    bands = np.stack([235 * y + noise, 235 - 235 * x + noise, 100 + noise], axis=-1)
    rgb = Image.fromarray(bands.astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray((np.asarray(rgb.convert("L")).astype(np.uint16)) * 257)
    image = rgb.convert(mode)
    if mode in ("LA", "RGBA"):
        image.paste(0, (0, 0, 2, 2))  # a see-through corner
    return image


def encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """`picture` in a file format, by Pillow's options of that format."""
    image = options.pop("image", None) or picture(mode)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block that says how the picture is turned (1 to 8)."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def png_of_size(width: int, height: int) -> bytes:
    """The header of a PNG of any size, with hardly a pixel in it: a decompression bomb."""

    def chunk(name: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def good_files() -> dict[str, bytes]:
    """Pictures of every format and many modes, by file name."""
    palette = picture().quantize(256)
    return {
        "grey.jpg": encoded("JPEG", "L"),
        "progressive.jpg": encoded("JPEG", progressive=True),
        "cmyk.jpg": encoded("JPEG", "CMYK"),
        "turned.jpg": encoded("JPEG", exif=exif(6)),
        "two views.mpo": encoded("MPO", **_two_frames()),
        "rgb.png": encoded("PNG"),
        "grey.png": encoded("PNG", "L"),
        "bilevel.png": encoded("PNG", "1"),
        "palette.png": encoded("PNG", image=palette),
        "palette with a hole.png": encoded("PNG", image=palette, transparency=3),
        "see-through.png": encoded("PNG", "RGBA"),
        "grey and alpha.png": encoded("PNG", "LA"),
        "16 bits.png": encoded("PNG", "I;16"),
        "animated.png": encoded("PNG", **_two_frames()),
        "lossy.webp": encoded("WEBP"),
        "lossless.webp": encoded("WEBP", "RGBA", lossless=True),
        "animated.webp": encoded("WEBP", **_two_frames()),
        "still.gif": encoded("GIF"),
        "animated.gif": encoded("GIF", **_two_frames()),
        "plain.tif": encoded("TIFF"),
        "lzw.tif": encoded("TIFF", compression="tiff_lzw"),
        "deflate.tif": encoded("TIFF", compression="tiff_adobe_deflate"),
        "jpeg in.tif": encoded("TIFF", compression="jpeg"),
        "fax.tif": encoded("TIFF", "1", compression="group4"),
        "cmyk.tif": encoded("TIFF", "CMYK"),
        "lab.tif": encoded("TIFF", "LAB"),
        "16 bits.tif": encoded("TIFF", "I;16"),
        "float.tif": encoded("TIFF", "F"),
        "two pages.tif": encoded("TIFF", **_two_frames()),
        "picture.bmp": encoded("BMP"),
        "picture.avif": encoded("AVIF"),
        "picture.heic": encoded("HEIF"),
        "picture.jp2": encoded("JPEG2000"),
        "one pixel.png": encoded("PNG", image=Image.new("RGB", (1, 1), "red")),
        "a line.png": encoded("PNG", image=Image.new("RGB", (900, 1), "red")),
        "really a png.jpg": encoded("PNG"),
        "really a jpeg.txt": encoded("JPEG"),
        "no extension": encoded("JPEG"),
        'comma, "quotes" & 100%.jpg': encoded("JPEG"),
        "fünf.jpg": encoded("JPEG"),
        "deep/in/a/folder/test/x.jpg": encoded("JPEG"),
    }


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Files that are no pictures, or no more, and how the reason begins, by file name."""
    good = good_files()
    jpeg, png = encoded("JPEG"), encoded("PNG")
    bad = {
        "empty.jpg": (b"", "empty file (0 bytes)"),
        "zeros.jpg": (bytes(5000), "not a picture (nothing but zero bytes)"),
        "noise.jpg": (np.random.default_rng(1).bytes(5000), "not a picture"),
        "page.jpg": (
            b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>",
            "not a picture (looks like a web page)",
        ),
        "notes.txt": ("Büste, 3 Fotos\r\n".encode() * 200, "not a picture (looks like text)"),
        "drawing.svg": (b'<?xml version="1.0"?><svg/>', "not a picture (an SVG drawing"),
        "book.pdf": (b"%PDF-1.4 \xe2\xe3", "not a picture (a PDF document)"),
        "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0", "not a picture (a PostScript file)"),
        "archive.zip": (b"PK\x03\x04\x14\0\0\0", "not a picture (a ZIP archive)"),
        "film.mp4": (b"\0\0\0\x20ftypisom\0\0\2\0", "not a picture (a video)"),
        "pointer.jpg": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "not a picture (a Git LFS pointer",
        ),
        "header only.jpg": (jpeg[:4], "damaged: truncated"),
        "bomb.png": (png_of_size(20000, 20000), "too large: 20000 × 20000 pixels"),
        "bad checksum.png": (png[:20] + b"\xff" + png[21:], "damaged: bad checksum"),
        # a copy broken off by a program that had reserved the space first
        "zeros at the end.png": (png[:1500] + bytes(len(png) - 1500), "damaged: bad checksum"),
        "zeros at the end.jpg": (jpeg[:600] + bytes(len(jpeg) - 600), "damaged: "),
        "bad data.png": (png[:200] + bytes(40) + png[240:], "damaged: "),
    }
    halved = ("progressive.jpg", "rgb.png", "lossy.webp", "still.gif", "plain.tif", "lzw.tif")
    for name in (*halved, "fax.tif", "picture.bmp", "picture.avif", "picture.heic", "picture.jp2"):
        data = good[name]
        bad[f"half of {name}"] = (data[: len(data) // 2], "damaged: ")
    return bad


def make_odd_files(folder: Path) -> dict[str, str | None]:
    """Write all of them into `folder`; by id: None for a good picture, else how its reason begins.

    With links, a pipe and a name that is not UTF-8 among them: for Linux.
    """
    expected: dict[str, str | None] = {}
    for name, data in good_files().items():
        _write(folder / name, data)
        expected[name] = None
    for name, (data, reason) in bad_files().items():
        _write(folder / name, data)
        expected[name] = reason
    jpeg = encoded("JPEG")
    # é as two characters, as macOS stores it; the id has it as one
    _write(folder / unicodedata.normalize("NFD", "café.jpg"), jpeg)
    expected["café.jpg"] = None
    (folder / "link to a picture.jpg").symlink_to("fünf.jpg")
    expected["link to a picture.jpg"] = None
    _write(folder / ".DS_Store", b"\0\0\0\1Bud1")
    _write(folder / "._grey.jpg", b"\0\5\x16\7")
    _write(folder / ".cache" / "x.jpg", jpeg)
    expected |= dict.fromkeys((".DS_Store", "._grey.jpg", ".cache/x.jpg"), "hidden: ")
    _write(folder / "Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    expected["Thumbs.db"] = "not a picture"
    (folder / "lost.jpg").symlink_to("nowhere.jpg")
    expected["lost.jpg"] = "link to nothing: nowhere.jpg"
    (folder / "again").symlink_to("deep", target_is_directory=True)
    expected["again/"] = "link to a folder, not followed"
    os.mkfifo(folder / "pipe.jpg")
    expected["pipe.jpg"] = "not a file but a pipe"
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(jpeg)
    expected[r"caf\xe9.jpg"] = "name is not UTF-8"
    return expected


def _two_frames() -> dict[str, Any]:
    return {"save_all": True, "append_images": [picture().transpose(Image.Transpose.ROTATE_180)]}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
