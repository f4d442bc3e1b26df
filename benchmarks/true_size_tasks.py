"""What benchmarks/true_size.py runs in processes of their own; each prints one JSON object last."""

import json
import sys
import time
from pathlib import Path

BLOCK = 2**22
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
SPECIAL = (*SPECIAL, "<|image_pad|>", "<|video_pad|>")
WORDS, ROWS = 151_643, 151_936
"""Tokens beside the special ones, and rows of the table, of Qwen2-VL's tokenizer."""


def make(folder: str, size: str) -> None:
    """Writes a folder as transformers' ColQwen2ForRetrieval is published, of random numbers."""
    import torch
    import transformers

    from collotype.families.retriever.backbones import BACKBONES

    row, place = BACKBONES["qwen2-vl"], Path(folder)
    place.mkdir()
    words = WORDS if size == "2b" else 300
    vocabulary = byte_pairs(place / "tokenizer.json", words)
    values = row.configure(row.sizes[size], vocabulary)
    values["text_config"]["vocab_size"] = ROWS if size == "2b" else len(vocabulary)
    vlm = transformers.Qwen2VLConfig(**values)
    config = transformers.ColQwen2Config(vlm_config=vlm, embedding_dim=128)
    config.architectures, config.dtype = ["ColQwen2ForRetrieval"], "bfloat16"
    config.save_pretrained(place)
    with torch.device("meta"):
        model = transformers.ColQwen2ForRetrieval(config)
    shapes = {name: tuple(one.shape) for name, one in model.state_dict().items() if "lm_head" not in name}
    write_random(place / "model.safetensors", shapes)
    pixels = {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14, "merge_size": 2}
    pixels |= {"temporal_patch_size": 2, "min_pixels": 3136, "max_pixels": 768 * 28 * 28}
    (place / "preprocessor_config.json").write_text(json.dumps(pixels))
    print(json.dumps({"bytes": (place / "model.safetensors").stat().st_size}))


def byte_pairs(file: Path, words: int) -> dict[str, int]:
    """A byte-level tokenizer of as many tokens, whose merges are of pairs as they come."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary, merges = {letter: number for number, letter in enumerate(letters)}, []
    for left in list(letters) + [one + other for one in letters for other in letters]:
        for right in letters:
            if len(vocabulary) < words and left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append((left, right))
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made.save(str(file))
    return made.get_vocab()


def write_random(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    import math

    import torch

    header, start = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        end = start + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        start = end
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    drawn = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0))
    with file.open("wb") as out:
        out.write(len(told).to_bytes(8, "little") + told)
        for name, shape in shapes.items():
            # a norm's scales are near one, a matrix keeps the size of what it is multiplied with
            scale = 0.02 if len(shape) < 2 else shape[-1] ** -0.5
            values = drawn * scale + (len(shape) == 1 and name.endswith("weight"))
            left = math.prod(shape)
            while left:
                out.write(values[:left].bfloat16().view(torch.uint8).numpy().tobytes())
                left -= min(left, BLOCK)


def resident() -> int:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) * 1024


def timed(work: object) -> tuple[object, dict[str, float]]:
    """With what it takes: wall, this process's time of a processor, and resident memory that stays."""
    before, began, spent = resident(), time.perf_counter(), time.process_time()
    made = work()
    took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - spent}
    return made, {**took, "added": resident() - before}


def load(folder: str, *dtype: str) -> None:
    """By collotype; without a dtype as a version calls it that has none."""
    import torch  # noqa: F401
    import transformers.models.qwen2_vl.modeling_qwen2_vl  # noqa: F401

    from collotype import families
    from collotype.families.retriever import commands  # noqa: F401

    _, told = timed(lambda: families.load(folder, **({"dtype": dtype[0]} if dtype else {})))
    print(json.dumps(told))


def by_transformers(folder: str) -> None:
    import torch
    from transformers import ColQwen2ForRetrieval, PreTrainedTokenizerFast

    def read() -> object:
        """What `families.load` gives; the processor of pages cannot be had without torchvision."""
        model = ColQwen2ForRetrieval.from_pretrained(folder, dtype=torch.bfloat16)
        return model, PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json")

    _, told = timed(read)
    print(json.dumps(told))


def digest(folder: str) -> None:
    from collotype import families

    model = families.load(folder)
    for parameter in model.parameters():
        parameter.data_ptr()
    found, told = timed(model.digest)
    print(json.dumps({"sha256": found, **told}))


def pages(folder: str) -> None:
    from PIL import Image

    Path(folder).mkdir()
    Image.radial_gradient("L").resize((310, 220)).convert("RGB").save(Path(folder) / "page.png")


def command(*arguments: str) -> None:
    from collotype.cli import main

    sys.argv = ["collotype", *arguments]
    main()


TASKS = {
    "make": make,
    "load": load,
    "transformers": by_transformers,
    "digest": digest,
    "pages": pages,
    "collotype": command,
}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
