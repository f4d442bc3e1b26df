"""A teacher: a trained retriever that a student is distilled from, and that encodes the pages of a query-only
student."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.locations import address_of
from collotype.families.retriever.checkpoints.reading import read
from collotype.families.retriever.config import PageModel, RetrieverConfig
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.processor import Processor, make_processor
from collotype.families.retriever.recipe import Distill, RetrieverModel
from collotype.losses.contrastive import ContrastiveLoss, Vectors
from collotype.losses.distillation import kl_loss, margin_mse_loss, vector_loss
from collotype.runtime.device import choose_dtype, pick_device
from collotype.runtime.digest import seen_of
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import require_there
from collotype.runtime.world import World
from collotype.training.task import Batch, Outputs


class Teacher:
    """The model that a recipe's `distill` names; it is not trained, and no part of what is saved."""

    def __init__(self, settings: Distill):
        self.settings, self.source = settings, str(settings.teacher)

    @cached_property
    def contents(self) -> RetrieverCheckpoint:
        """
        Raises:
            UserError: it is not there, or cannot be read.
        """
        require_there(self.source)
        return read(self.source, self.settings.preset, self.settings.base)

    @property
    def config(self) -> RetrieverConfig:
        return self.contents.config

    @cached_property
    def model(self) -> Retriever:
        dtype = choose_dtype("auto", self.contents.tensors.dtype, pick_device(World.from_environment()))
        model = self.contents.model(dtype).requires_grad_(False)
        model.check_weights()
        return model

    @cached_property
    def sha256(self) -> str:
        return self.model.digest()

    @cached_property
    def processor(self) -> Processor:
        return make_processor(self.config, self.contents.tokenizer)

    def events(self) -> list[dict[str, Any]]:
        """That its files are no longer those that it was read from: the model that was learned from is not there any
        more."""
        files = self.model.from_files
        if files is None or seen_of(files.files) == files.seen:
            return []
        return [{"kind": "the teacher changed since", "source": self.source, "learned from": self.sha256}]

    def facts(self) -> dict[str, Any]:
        parameters = sum(weight.numel() for weight in self.model.parameters())
        known = {"sha256": self.sha256} if self.sha256 else {}
        return {"source": self.source, **known, "parameters": parameters}

    def as_page_model(self) -> PageModel:
        """What a student remembers of it."""
        found = self.config
        return PageModel(
            source=address_of(self.source),
            base=self.settings.base,
            preset=self.settings.preset,
            sha256=self.sha256,
            backbone=found.backbone,
            backbone_config=found.backbone_config,
        )

    def prepare(self, student: RetrieverModel, processor: Processor) -> None:
        """Reads it, before the engine computes in any precision.

        Raises:
            UserError: the student cannot learn its vectors.
        """
        if self.settings.objective == "vectors":
            self.require_same_tokens(processor)
            self.require_same_form(student)
        _ = self.model

    def require_same_form(self, model: RetrieverModel) -> None:
        """
        Raises:
            UserError: the student that the recipe says makes other vectors than its teacher.
        """
        teacher = self.config
        width = teacher.dim or self.contents.row.hidden_size(teacher.backbone_config)
        for name, said, there in (
            ("preset", model.preset, teacher.preset.name),
            ("interaction", model.interaction, teacher.interaction),
            ("dim", model.dim, width),
        ):
            if said != there:
                raise UserError(
                    f"The student's model.{name} is {said}, but its teacher {self.settings.teacher} has {there}; set "
                    "it to the teacher's value."
                )

    def require_same_tokens(self, processor: Processor) -> None:
        """
        Raises:
            UserError: the student's queries are other tokens than its teacher's, so no vector stands for the same.
        """
        own = self.processor
        if (own.preset, own.tokenizer.to_str()) != (processor.preset, processor.tokenizer.to_str()):
            raise UserError(
                f"distill.objective is vectors, but {self.settings.teacher} has other tokens than the student (another "
                "preset or tokenizer); use kl or margin-mse, which compare scores."
            )

    def outputs(self, batch: Batch, like: Tensor) -> Outputs:
        """Its vectors of the batch, in float64 where the student's (`like`) are."""
        dtype = torch.float64 if like.dtype == torch.float64 else None
        model, found = self.model.to(like.device, dtype).eval(), {}
        with torch.no_grad():
            for side, inputs in (("query", "teacher_queries"), ("page", "teacher_pages")):
                if inputs in batch:
                    found[f"teacher_{side}_vectors"], found[f"teacher_{side}_mask"] = model(batch[inputs])
        return found

    def loss(
        self, queries: Vectors, pages: Vectors | None, block: Mapping[str, Tensor], scores: ContrastiveLoss
    ) -> Tensor:
        """How far the student is from it.

        Args:
            pages: the student's own; None: the teacher's.
            scores: how they are scored.
        """
        own = Vectors(block["teacher_query_vectors"], block["teacher_query_mask"])
        if self.settings.objective == "vectors":
            return vector_loss(queries, own)
        shown = Vectors(block["teacher_page_vectors"], block["teacher_page_mask"])
        student, teacher = scores.scores(queries, pages or shown), scores.scores(own, shown)
        if self.settings.objective == "margin-mse":
            return margin_mse_loss(student, teacher)
        return kl_loss(student, teacher, self.settings.temperature or scores.temperature)


def page_model_of(config: RetrieverConfig, base: str | None, load: Callable[..., Retriever]) -> Retriever:
    """The teacher of a student that reads queries only.

    Args:
        base: where it lies, if not where the student says.
        load: reads it.

    Raises:
        UserError: it is not there, or is another than the student learned from.
    """
    stated = config.pages
    assert stated
    where = base or stated.source
    try:
        require_there(where)
        model = load(where, stated.preset, None if base else stated.base)
    except UserError as error:
        raise UserError(
            f"This model encodes queries only, and {where}, which encodes its pages, cannot be read ({error}) Give its "
            "path with --base."
        ) from error
    if model.digest() != stated.sha256:
        raise UserError(
            f"This model was distilled from the teacher {stated.sha256[:12]}, but {where} is now another model "
            f"({model.digest()[:12]}); give the original teacher with --base, or distill again."
        )
    return model
