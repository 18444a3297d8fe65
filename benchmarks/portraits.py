"""Swaps at the picture's own size: sharpness, untouched bytes, seconds.

    python -m benchmarks.portraits [--model MODEL] [--size 1024] [--source FILE] [--out FOLDER]

Ten rendered characters in portraits of `size` pixels, each onto the next, or one photograph onto
all. Sharpness is the
deviation of the Laplacian inside the face, over that of the source bent alone; 1 is as sharp as the
source's own pixels. Writes a sheet to look at.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from facegraft.adapters.judge import Judge
from facegraft.adapters.landmarks import Landmarker
from facegraft.characters import load_assets
from facegraft.characters.deform import neutral_head
from facegraft.characters.grids import draw_split
from facegraft.characters.render import render_head
from facegraft.core.project import Project
from facegraft.imaging.images import contact_sheet, save_picture
from facegraft.method.decoder import Decoded
from facegraft.method.portrait import bent_source, draw_portrait
from facegraft.stages.benchmark import find_model
from facegraft.stages.inputs import FaceReaders, Input, read_input

PORTRAITS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="base")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--source", type=Path, help="a picture to take the face from, onto all ten")
    parser.add_argument("--out", type=Path, default=Path("build/portraits"))
    options = parser.parse_args()
    project = Project(Path.cwd())
    model, _ = find_model(project, options.model)
    readers = FaceReaders(Judge(), Landmarker())
    files = drawn(options.out, options.size)
    inputs = [read_input(project, model.config, readers, str(file)) for file in files]
    sources = inputs[1:] + inputs[:1]
    if options.source is not None:
        sources = [read_input(project, model.config, readers, str(options.source))] * len(inputs)
    rows, ratios, touched, seconds = [], [], [], []
    for target, source in zip(inputs, sources, strict=True):
        started = time.perf_counter()
        with torch.no_grad():
            decoded = model.swap(source.face, target.face)
        image = draw_portrait(decoded, source.portrait, target.portrait)
        seconds.append(time.perf_counter() - started)
        ratios.append(sharpness(decoded, source, target, image))
        touched.append(float((image != target.portrait.pixels).any(axis=2).mean()))
        rows.append([source.portrait.pixels, target.portrait.pixels, image])
    save_picture(
        options.out / "portraits.png",
        contact_sheet(rows, columns=("source", "target", "swap"), cell=512),
    )
    print(f"sharpness over the bent source's: {np.round(ratios, 2).tolist()}")
    print(f"mean {np.mean(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"share of the picture's pixels that changed: mean {np.mean(touched):.3f}")
    print(f"seconds a swap at {options.size} px: median {np.median(seconds):.2f}")


def drawn(folder: Path, size: int) -> list[Path]:
    """Ten portraits of `size` pixels, rendered once."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{size}-{k}.png" for k in range(PORTRAITS)]
    if all(file.exists() for file in files):
        return files
    assets = load_assets()
    spec = draw_split(assets, 41, "test", 1, PORTRAITS, PORTRAITS)[0]
    for k, file in enumerate(files):
        head = neutral_head(assets, spec.identities[k])
        one, attributes = spec.identities[k], spec.attributes[k]
        shown = render_head(assets, head, one, attributes, size, framing="portrait", supersample=1)
        save_picture(file, Image.fromarray(shown.image))
    return files


def sharpness(decoded: Decoded, source: Input, target: Input, image: np.ndarray) -> float:
    """Deviation of the Laplacian where the source is shown, over that of the source bent alone."""
    part, bent, share = bent_source(decoded, source.portrait, target.portrait)
    inside = share > 0.9
    own = _laplacian(image[part].astype(np.float32))[inside]
    return float(own.std() / _laplacian(bent)[inside].std())


def _laplacian(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.Laplacian(np.ascontiguousarray(pixels.mean(axis=2)), cv2.CV_32F))


if __name__ == "__main__":
    main()
