"""What a plan needs to know of a CLIP recipe, without torch (except for weights in local files)."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.families.clip.benchmarks import (
    METRICS,
    CaptionedImages,
    Classification,
    facts_of,
    find_suite,
    suite_needs,
)
from collotype.families.clip.checkpoints.locations import FILES
from collotype.families.clip.config import SIZES, ClipConfig, sized
from collotype.families.clip.data import open_captions, source_needs
from collotype.families.clip.data.captions import CaptionDataset, samples_of
from collotype.families.clip.recipe import ClipEvaluate, ClipRecipe
from collotype.families.clip.sizes import forward_flops, parameters
from collotype.families.clip.tokenizer import BPE_TOKENS, ClipTokenizer, bpe_tokenizer, word_tokenizer
from collotype.families.clip.transforms import Augmentation, ClipTrainTransform
from collotype.families.shared.facts import FamilyFacts
from collotype.families.shared.suites import OpenedSuites
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need, plain
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import counts
from collotype.training.bad_examples import allowed_bad
from collotype.training.facts import facts_of_sources
from collotype.training.overlap import Samples

if TYPE_CHECKING:
    from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint

PUBLISHED_NAME = re.compile(r"(?i)/clip-((?:vit-[bl]-\d\d|vit-base-patch\d\d|vit-large-patch14)(?=$|-(?!\d)))")
"""A repository of the hub whose name says the size."""
SAID_AS = {"vit-base-patch32": "ViT-B-32", "vit-base-patch16": "ViT-B-16", "vit-large-patch14": "ViT-L-14"}
"""By transformers."""


class ClipFacts(FamilyFacts[ClipRecipe]):
    def __init__(self, recipe: ClipRecipe):
        super().__init__(recipe)
        self.sigmoid = recipe.loss.name == "sigmoid"
        self.benchmarks = OpenedSuites(find_suite)

    @cached_property
    def contents(self) -> "ClipCheckpoint | None":
        """What training starts from, if not from random weights.

        Raises:
            UserError: it cannot be read, or has no bias, which a sigmoid loss needs.
        """
        model = self.recipe.model
        if model.weights is None:
            return None
        FILES.fetched(model.weights)
        from collotype.families.clip.checkpoints.checkpoint import at_size
        from collotype.families.clip.checkpoints.reading import read

        found = read(model.weights, model.activation)
        if model.image_size is not None:
            found = at_size(found, model.image_size)
        if self.sigmoid != (found.config.init_logit_bias is not None):
            has, name = ("no", "symmetric-infonce") if self.sigmoid else ("a", "sigmoid")
            raise UserError(
                f"loss.name is {self.recipe.loss.name}, but {model.weights} has {has} logit_bias, so it was trained "
                f"with {name}; use --set loss.name={name}, or other weights."
            )
        return found

    @cached_property
    def captioned(self) -> list[CaptionDataset]:
        augmentation = Augmentation(**self.recipe.data.augmentation.values())
        prepare = self.config.preprocess_cfg
        transform = ClipTrainTransform(self.config.vision_cfg.image_size, augmentation, prepare.mean, prepare.std)
        return [CaptionDataset(source, transform, self.recipe.train.seed) for source in self.sources]

    @cached_property
    def sources(self) -> list[Any]:
        """
        Raises:
            UserError: a source is not there, more of it than the recipe allows cannot be used, or its shards cannot be
                kept at hand.
        """
        sources = [open_captions(source) for source in self.recipe.data.train]
        for source in sources:
            if isinstance(source, Shards):
                source.require_room(self.recipe.data.shuffle_window)
        faults = [fault for source in sources for fault in source.faults]
        left_out = sum(fault.left_out for fault in faults)
        allowed = allowed_bad(self.recipe, left_out + sum(map(len, sources)))
        if left_out > allowed:
            worst = max(faults, key=lambda fault: fault.left_out)
            raise UserError(
                f"{left_out} training examples cannot be used, but data.max_bad_examples allows {allowed}; most are in "
                f"{worst.place} ({worst.cause}{f'; the first: {worst.first}' * bool(worst.first)}): fix those, or "
                "raise the limit."
            )
        return sources

    @cached_property
    def tokenizer(self) -> ClipTokenizer:
        if self.contents:
            return self.contents.tokenizer
        length = sized(self.recipe.model.size or "").text_cfg.context_length
        if self.recipe.model.vocabulary == "clip":
            return bpe_tokenizer(length)
        texts = [text for source in self.sources for row in range(len(source)) for text in source.texts(row)]
        for choice in self.recipe.evaluate:
            for benchmark in self.benchmarks(choice):
                if isinstance(benchmark, Classification):
                    texts += [caption for captions in benchmark.captions for caption in captions]
        return word_tokenizer(texts, length)

    @cached_property
    def config(self) -> ClipConfig:
        if self.contents:
            return self.contents.config
        model = self.recipe.model
        words = BPE_TOKENS if model.vocabulary == "clip" else self.tokenizer.vocab_size
        config = sized(model.size or "", model.activation, words, self.sigmoid)
        side = model.image_size or config.vision_cfg.image_size
        return replace(config, vision_cfg=replace(config.vision_cfg, image_size=side))

    @cached_property
    def batch_norm_group(self) -> int | None:
        """
        Raises:
            UserError: the recipe names one, and the model has no BatchNorm.
        """
        group = self.recipe.model.batch_norm_group
        if self.config.vision_cfg.is_resnet:
            return group or self.recipe.train.batch
        if group:
            raise UserError(f"model.batch_norm_group is {group}, but a ViT has no BatchNorm; leave it out.")
        return None

    def metrics(self) -> tuple[str, ...]:
        return METRICS

    def negatives_per_query(self) -> int:
        return self.recipe.train.batch // self.recipe.negatives.processes - 1

    def train_facts(self) -> dict[str, Any]:
        faults = counts(fault for source in self.sources for fault in source.faults)
        return facts_of_sources(self.recipe.data.train, self.captioned) | {"faults": faults}

    def facts_of(self, choice: ClipEvaluate) -> dict[str, Any]:
        return facts_of(self.benchmarks(choice))

    def samples(self, choice: ClipEvaluate | None = None) -> dict[str, Samples]:
        if choice is None:
            return {str(place): samples_of(source, len(source)) for place, source in enumerate(self.sources)}
        captioned = [one for one in self.benchmarks(choice) if isinstance(one, CaptionedImages)]
        return {one.name: samples_of(one.source, one.rows) for one in captioned}

    def needs(self) -> dict[str, Callable[[], list[Need]]]:
        return self.needs_by_use(FILES.needs, suite_needs, source_needs)

    def require_weights(self) -> None:
        _ = self.contents

    def use_published_config(self, size: str | None = None) -> None:
        """The size that a command says, or that the name of a repository does: laion/CLIP-ViT-B-32-laion2B-…."""
        weights = self.recipe.model.weights or ""
        named = PUBLISHED_NAME.search(str(plain(weights)))
        size = size or (named and SAID_AS.get(named[1], named[1]))
        if size not in SIZES:
            why = "cannot be read" if Path(weights).exists() else "was not found"
            raise UserError(f"{weights} {why}, and its name does not tell the size of the CLIP")
        activation = self.recipe.model.activation or "gelu"
        model = self.recipe.model.model_copy(update={"size": size, "activation": activation})
        self.contents, self.recipe = None, self.recipe.model_copy(update={"model": model})

    def describe(self) -> dict[str, Any]:
        total = parameters(self.config)
        facts = {
            "parameters": total,
            "trainable_parameters": total,
            "forward_gflops": round(forward_flops(self.config) / 1e9, 3),
            "architecture": f"{self.recipe.model.size or self.recipe.model.weights}, {self.config.activation}",
            "activation": self.config.activation,
            "image_size": self.config.vision_cfg.image_size,
        }
        if self.batch_norm_group:
            facts["batch_norm_group"] = self.batch_norm_group
        return facts


SPEC = ClipFacts
