"""What another tool does where a recipe has no key for it: the closed list of keys of `Origin.settings`."""

from typing import Literal, TypedDict

ProcessGroup = Literal["initialised", "missing", "refused", "incomplete"]


class Upstream(TypedDict, total=False):
    """A setting that the text does not tell is not there."""

    negatives_scope: Literal["global", "process"]
    """Global or process: among whose pages (captions) a query found its in-batch negatives. colpali-engine up to 0.3.10
    under DDP, and any version while it accumulates gradients: process."""
    negatives_per_query: int
    """How many that were, with the explicit ones."""
    explicit_negatives: int
    """Hard negatives of each query; neither gathered nor shared in colpali-engine."""
    misplaced_positives: bool
    """On all processes but the first, other pages were taken for the positives: BiPairwiseCELoss of colpali-engine
    since 0.3.11, which ignores `offset`."""
    local_loss: bool
    """open_clip --local-loss: a process scores its own examples only."""
    gather_with_grad: bool
    """open_clip --gather-with-grad: the gradient goes back through the gathered features."""
    scale_gradient_factor: int
    """By how much the gradient of the logit scale was too large: open_clip --accum-freq."""
    loss_precision: str
    """Of the similarities in the loss: bf16, fp16 or fp32; here always fp32."""
    weights_precision: str
    """Of weights that were not kept in fp32: torch_dtype, open_clip's --precision pure_*."""
    precision_given: bool
    """Was the precision named, or left to a default that changed between versions."""
    reentrant_checkpointing: bool
    """gradient_checkpointing_kwargs.use_reentrant."""
    frozen_inputs: bool
    """No input of a recomputed block needed a gradient: LoRA without enable_input_require_grads."""
    attention: str
    """attn_implementation: flash_attention_2, sdpa or eager."""
    device: str
    """The GPU that the text names: V100."""
    devices: int
    """How many GPUs worked on a batch; under plain python nn.DataParallel divides it among them."""
    process_group: ProcessGroup
    """Initialised; or for BEiT-3 missing (it waits at a barrier of one that was never made), refused
    (torch.distributed.launch of torch >= 2 passes --local-rank, which its parser does not know) or incomplete (under
    srun its world has one process, whatever the rank)."""
    evaluates_only: bool
    """No training: BEiT-3 --eval, vidore-benchmark, mteb, lmms-eval, open_clip without --train-data."""
    unknown_model: str
    """A model that no family here loads, by whose name; what is measured is known all the same."""
    evaluation_precision: str
    """Of the model while it is evaluated: bf16, fp16 or fp32."""
    score_precision: str
    """Of the scores that pages are ranked by: bf16 in vidore-benchmark, fp32 in mteb."""
    evaluation_batch: int
    """Pages that are encoded, padded and scored together."""
    gain: Literal["linear", "exponential"]
    """Of graded judgements: linear, as trec_eval has it, or exponential, 2^r - 1."""
    repeated_queries: str
    """Queries of the same text: merged (mteb), or the last one's page counts (vidore-benchmark)."""
    answers_normalised: str
    """Always (lmms-eval since 2025-08), or officially: where the people asked do not all agree."""
    evaluation_repeats: bool
    """Examples counted twice: a DistributedSampler fills up the last round (BEiT-3 --dist_eval)."""
    evaluation_drops: bool
    """Examples left out of validation: drop_last (BEiT-3)."""
    evaluation_augmented: bool
    """Validation images are cropped, mirrored and varied as in training (BEiT-3)."""
    random_head: bool
    """A head that the weights lack is drawn at random, and nothing stops that."""
    stale_checkpoint: bool
    """A checkpoint in the output folder is taken instead of the weights named: BEiT-3's --auto_resume, which is on
    unless --no_auto_resume is there."""
    seed_given: bool
    """Was a seed named."""
    seeded_initialisation: bool
    """Were new weights drawn after the seed was set."""
    seeded_shuffle: bool
    """Did the order of the examples depend on the seed alone."""
    batch_norm: Literal["process", "synchronised"]
    """Process or synchronised: over whose examples BatchNorm takes its statistics."""
    sampler_batch: int
    """Examples of one data set that colpali-engine's sampler takes at a time, where there are several."""
    dead_patterns: list[str]
    """Keys of peft's rank_pattern or alpha_pattern that an earlier, more general key hides."""
    workers: int
    """Loader processes of each process."""
    shards: int
    """How many tars the training data has, where their pattern tells."""
    dataset: str
    """As the other tool writes it."""
    weights: str
    """As the other tool writes them."""
    size: str
    """Of the model that the weights are said to be of: open_clip's --model beside --pretrained."""
    optimizer: str
    """As the other tool names it."""
    engine: str
    """The version of colpali-engine, or those that know the config's keys."""
    max_visual_tokens: int
    """The visual budget of a page, max_num_visual_tokens."""
    epochs: float
    """As the other tool states them."""
    examples: int
    """Of training, as the other tool states them or as they are known of the dataset."""
