"""Captioned images out of tar shards: our random access beside webdataset's streaming, in this process, in turns.

Images are JPEGs of 256 to 500 pixels with the detail of photographs. Both decode with Pillow, go through the same
transform, and shuffle: ours all samples, webdataset as many as OpenCLIP lets it (5,000). The page cache is warm, and
time is the processor's, so that other work on the machine counts little.
"""

import io
import json
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHARDS, IMAGES, ROUNDS = 4, 150, 5


def write_shards(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(IMAGES):
                width, height = rng.integers(256, 501, 2).tolist()
                for suffix, content in (
                    ("jpg", drawn(rng, width, height)),
                    ("txt", b"a caption of eight words, more or less"),
                ):
                    member = tarfile.TarInfo(f"{shard:03d}{number:06d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def drawn(rng: np.random.Generator, width: int, height: int) -> bytes:
    """Noise of several sizes, the larger the stronger, as in photographs."""
    pixels = np.zeros((height, width, 3))
    for side in (4, 16, 64, 256):
        noise = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        pixels += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), float) / side**0.5
    pixels *= 255 / pixels.max()
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def ours(folder: Path, epoch: int) -> Iterator[Any]:
    from collotype.families.clip.data.captions import CaptionDataset
    from collotype.families.clip.transforms import ClipTrainTransform
    from collotype.runtime.shards.reader import Shards

    dataset = CaptionDataset(Shards(str(folder)), ClipTrainTransform(224), seed=0)
    for row in random.Random(epoch).sample(range(len(dataset)), len(dataset)):
        yield dataset.example(row, epoch)


def webdatasets(folder: Path, epoch: int) -> Iterator[Any]:
    import webdataset

    from collotype.families.clip.transforms import ClipTrainTransform

    transform, rng = ClipTrainTransform(224), random.Random(epoch)
    return iter(
        webdataset.DataPipeline(
            webdataset.SimpleShardList([str(path) for path in sorted(folder.glob("*.tar"))]),
            webdataset.tarfile_to_samples(),
            webdataset.shuffle(5000, initial=1000),
            webdataset.decode("pilrgb"),
            webdataset.to_tuple("jpg", "txt"),
            webdataset.map_tuple(lambda image: transform(image, rng), str),
        )
    )


def ours_read(folder: Path, epoch: int) -> Iterator[Any]:
    from collotype.runtime.shards.reader import Shards

    shards = Shards(str(folder))
    for row in random.Random(epoch).sample(range(len(shards)), len(shards)):
        yield shards.read(row)


def webdatasets_read(folder: Path, epoch: int) -> Iterator[Any]:
    import webdataset

    return iter(
        webdataset.DataPipeline(
            webdataset.SimpleShardList([str(path) for path in sorted(folder.glob("*.tar"))]),
            webdataset.tarfile_to_samples(),
            webdataset.shuffle(5000, initial=1000),
        )
    )


def rate(samples: Callable[[Path, int], Iterator[Any]], folder: Path, epoch: int) -> float:
    """Samples a second of processor time."""
    began = time.process_time()
    count = sum(1 for _ in samples(folder, epoch))
    assert count == SHARDS * IMAGES
    return count / (time.process_time() - began)


def main() -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["COLLOTYPE_CACHE"] = f"{scratch}/cache"
        folder = Path(scratch) / "shards"
        folder.mkdir()
        write_shards(folder)
        for what, mine, theirs in (
            ("captioned images to 224 px tensors, one process", ours, webdatasets),
            ("the same, read only", ours_read, webdatasets_read),
        ):
            rate(mine, folder, 0), rate(theirs, folder, 0)
            pairs = [(rate(mine, folder, epoch), rate(theirs, folder, epoch)) for epoch in range(1, ROUNDS + 1)]
            middle = sorted(pairs, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]
            rows.append(
                {"what": what, "ours": middle[0], "reference": middle[1], "against": "webdataset", "unit": "/s"}
            )
    return rows


if __name__ == "__main__":
    print(json.dumps(main()))
