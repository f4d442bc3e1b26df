"""The recipe's section on training: batch, negatives, optimiser, schedule."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from collotype.recipe.section import Fraction, NotNegativeInt, PositiveFloat, PositiveInt, Section


class Negatives(Section):
    """Which other pages of the batch are a query's negatives, on any hardware."""

    scope: Literal["global", "process"] = "global"
    """`process`: only those of the same block of `processes` equal blocks, as per-device negatives would have it."""
    processes: PositiveInt = 1


class Optimizer(Section):
    name: Literal["adamw", "paged_adamw_8bit"] = "adamw"
    """paged_adamw_8bit needs the extra `bitsandbytes` and a GPU."""
    lr: PositiveFloat
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """On matrices; biases and norms have none."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of a layer relative to the layer above it."""
    head_lr_multiplier: PositiveFloat = 1.0
    """Learning rate of the head relative to the rest."""


class Schedule(Section):
    name: Literal["linear", "cosine", "constant"] = "linear"
    warmup_fraction: Fraction = 0.0
    """Part of all steps over which the learning rate rises from zero."""
    final_lr: Annotated[float, Field(ge=0)] = 0.0
    """What the learning rate falls to, before multipliers."""
    warmup_steps: NotNegativeInt | None = None
    """The same in optimiser steps; it and warmup_fraction exclude each other."""

    @model_validator(mode="after")
    def state_the_warmup_once(self) -> "Schedule":
        if self.warmup_steps is not None and self.warmup_fraction:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} and warmup_fraction {self.warmup_fraction}; leave one of them out"
            )
        return self


class Train(Section):
    batch: PositiveInt
    """Queries per optimiser step over all processes."""
    micro_batch: PositiveInt | Literal["auto"] | None = None
    """Queries per forward pass of one process; auto: the most that fit into memory; None: a process's whole share."""
    micro_batch_tokens: PositiveInt | None = None
    """Instead of micro_batch, for pages of many sizes: tokens per forward pass, padding included."""
    steps: PositiveInt
    seed: int = 42
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp64"] = "auto"
    """auto: bf16 where the device has it, else fp16 on a GPU and fp32 on the CPU."""
    shard: Literal["none", "fsdp"] = "none"
    """fsdp: weights, gradients and optimiser state are divided among the processes."""
    gradient_checkpointing: bool = False
    """Compute a layer's activations again on the way back instead of keeping them."""
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    clip_grad_norm: PositiveFloat | None = None
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Also keep an exponential moving average of the weights, evaluate it and save it; None keeps none."""
    checkpoint_every: PositiveInt = 100
    """In optimiser steps."""
    keep_checkpoints: PositiveInt = 2
    keep_best: bool = False
    """Keep the checkpoint with the best first metric of the evaluations during training, too."""
    workers: NotNegativeInt = 0
    """Loader processes beside each training process."""

    @model_validator(mode="after")
    def cut_one_way(self) -> "Train":
        if self.micro_batch_tokens and (self.micro_batch is not None or self.shard != "none"):
            raise ValueError(
                f"micro_batch_tokens is {self.micro_batch_tokens} with micro_batch {self.micro_batch} and shard "
                f"{self.shard}; it replaces micro_batch and cannot be combined with shard"
            )
        return self
