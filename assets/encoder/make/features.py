"""Run every training picture, in three views, through the quantised image network once."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import onnxruntime
import preprocess
import torch
from backbones import IMAGE_SIDE, Lite2
from pictures import Picture
from PIL import Image, ImageChops, ImageEnhance, ImageOps

VIEWS = ("plain", "copy", "scene")
PART = 256
BATCH = 16


def image_state(folder: Path) -> dict[str, torch.Tensor]:
    """Return the published weights of the image network."""
    (weights,) = folder.rglob("efficientnet-lite2-*.pth")
    return torch.load(weights, weights_only=True)


def export_features(folder: Path, target: Path) -> None:
    """Write the image network, weights on their int8 grid, as a feature extractor."""
    network = Lite2(image_state(folder)).eval()
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, IMAGE_SIDE, IMAGE_SIDE),),
        target,
        input_names=["pixel_values"],
        output_names=["head", "means"],
        dynamic_axes={name: {0: "batch"} for name in ("pixel_values", "head", "means")},
        opset_version=17,
        dynamo=False,
    )


def randomness(picture: Picture, view: str) -> np.random.Generator:
    """Return a generator that depends on the picture and the view alone."""
    digest = hashlib.sha256(f"{picture.source}/{picture.key}/{view}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def grey_copy(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return a grey, mirrored, smaller copy, sometimes with a margin: what a photocopy would be."""
    copy = ImageOps.mirror(ImageOps.grayscale(picture)).convert("RGB")
    side = int(random.integers(90, 180))
    copy.thumbnail((side, side), Image.Resampling.BICUBIC)
    margin = int(side * random.choice([0.0, 0.0, 0.12, 0.25]))
    return ImageOps.expand(copy, margin, (255, 255, 255))


def scene(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the drawing, turned a little and recoloured a little, on a coloured ground."""
    layers = picture.convert("RGBA")
    box = layers.getchannel("A").getbbox()
    layers = layers.crop(box) if box else layers
    layers.thumbnail((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC)
    layers = layers.rotate(float(random.uniform(-12, 12)), Image.Resampling.BICUBIC, expand=True)
    if random.random() < 0.5:
        layers = ImageOps.mirror(layers)
    side = round(max(layers.size) * float(random.uniform(1.0, 1.5)))
    top, bottom = (tuple(int(v) for v in random.integers(60, 256, 3)) for _ in range(2))
    ramp = Image.linear_gradient("L").resize((side, side))
    ground = ImageOps.colorize(ramp, top, bottom)
    noise = Image.effect_noise((side, side), float(random.uniform(5, 40))).convert("RGB")
    ground = ImageChops.overlay(ground, noise)
    place = tuple(int(random.integers(0, side - extent + 1)) for extent in layers.size)
    ground.paste(layers, place, layers)
    ground = ImageEnhance.Color(ground).enhance(float(random.uniform(0.4, 1.2)))
    return ImageEnhance.Brightness(ground).enhance(float(random.uniform(0.7, 1.15)))


def view_of(picture: Picture, view: str) -> np.ndarray:
    """Return one view of a picture as the network's input."""
    random = randomness(picture, view)
    with Image.open(picture.file) as opened:
        if view == "scene":
            return preprocess.to_array(scene(opened, random))
        flat = preprocess.flatten(opened)
    return preprocess.to_array(grey_copy(flat, random) if view == "copy" else flat)


def extract_part(job: tuple[list[Picture], str, Path, Path]) -> None:
    """Compute and store the features of one part of the pictures in one view."""
    pictures, view, network, target = job
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    rows = []
    for start in range(0, len(pictures), BATCH):
        batch = np.stack([view_of(picture, view) for picture in pictures[start : start + BATCH]])
        rows.append(np.concatenate(session.run(None, {"pixel_values": batch}), axis=1))
    temporary = target.with_suffix(".tmp.npy")
    np.save(temporary, np.concatenate(rows))
    temporary.replace(target)


def extract(pictures: list[Picture], network: Path, work: Path, workers: int) -> np.ndarray:
    """Return (views, pictures, 1280 + 680) features; finished parts are read back from disk."""
    folder = work / "features"
    folder.mkdir(exist_ok=True)
    targets, jobs = [], []
    for view in VIEWS:
        for start in range(0, len(pictures), PART):
            part = pictures[start : start + PART]
            names = "\n".join(f"{picture.source}/{picture.key}" for picture in part)
            mark = hashlib.sha256(names.encode() + network.read_bytes()).hexdigest()[:12]
            target = folder / f"{view}_{start:05d}_{mark}.npy"
            targets.append(target)
            if not target.exists():
                jobs.append((part, view, network, target))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(extract_part, jobs), 1):
            print(f"  features: part {done} of {len(jobs)}", flush=True)
    loaded = np.concatenate([np.load(target) for target in targets])
    return loaded.reshape(len(VIEWS), len(pictures), -1)
