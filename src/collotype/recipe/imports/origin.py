"""What another tool does where a recipe has nothing to state: the closed list of what `Origin.settings` may hold."""

SETTINGS: dict[str, str] = {
    "negatives_scope": "global or process: among whose pages (captions) a query found its in-batch negatives. "
    "colpali-engine up to 0.3.10 under DDP, and any version while it accumulates gradients: process",
    "negatives_per_query": "how many that were, with the explicit ones",
    "explicit_negatives": "hard negatives of each query; neither gathered nor shared in colpali-engine",
    "misplaced_positives": "on all processes but the first, other pages were taken for the positives: "
    "BiPairwiseCELoss of colpali-engine since 0.3.11, which ignores `offset`",
    "local_loss": "open_clip --local-loss: a process scores its own examples only",
    "gather_with_grad": "open_clip --gather-with-grad: the gradient goes back through the gathered features",
    "scale_gradient_factor": "by how much the gradient of the logit scale was too large: open_clip --accum-freq",
    "loss_precision": "of the similarities in the loss: bf16, fp16 or fp32; here always fp32",
    "weights_precision": "of weights that were not kept in fp32: torch_dtype, open_clip's --precision pure_*",
    "precision_given": "was the precision named, or left to a default that changed between versions",
    "reentrant_checkpointing": "gradient_checkpointing_kwargs.use_reentrant",
    "frozen_inputs": "no input of a recomputed block needed a gradient: LoRA without enable_input_require_grads",
    "attention": "attn_implementation: flash_attention_2, sdpa or eager",
    "device": "the GPU that the text names: V100",
    "devices": "how many GPUs worked on a batch; under plain python nn.DataParallel divides it among them",
    "process_group": "initialised; or for BEiT-3 missing (it waits at a barrier of one that was never made), refused "
    "(torch.distributed.launch of torch >= 2 passes --local-rank, which its parser does not know) or incomplete (under "
    "srun its world has one process, whatever the rank)",
    "evaluates_only": "no training: BEiT-3 --eval",
    "evaluation_repeats": "examples counted twice: a DistributedSampler fills up the last round (BEiT-3 --dist_eval)",
    "evaluation_drops": "examples left out of validation: drop_last (BEiT-3)",
    "evaluation_augmented": "validation pictures are cropped, mirrored and varied as in training (BEiT-3)",
    "random_head": "a head that the weights lack is drawn at random, and nothing stops that",
    "stale_checkpoint": "a checkpoint in the output folder is taken instead of the weights named: BEiT-3's "
    "--auto_resume, which is on unless --no_auto_resume is there",
    "seed_given": "was a seed named",
    "seeded_initialisation": "were new weights drawn after the seed was set",
    "seeded_shuffle": "did the order of the examples depend on the seed alone",
    "batch_norm": "process or synchronised: over whose examples BatchNorm takes its statistics",
    "workers": "loader processes of each process",
    "shards": "how many tars the training data has, where their pattern tells",
    "dataset": "as the other tool writes it",
    "weights": "as the other tool writes them",
    "size": "of the model that the weights are said to be of: open_clip's --model beside --pretrained",
    "optimizer": "as the other tool names it",
    "engine": "the version of colpali-engine, or those that know the config's keys",
    "max_visual_tokens": "the visual budget of a page, max_num_visual_tokens",
    "epochs": "as the other tool states them",
    "examples": "of training, as the other tool states them or as they are known of the dataset",
}
"""Key -> what it says and what the peers call it. A setting that the text does not tell is not there."""
