"""The flags of open_clip: how many words each takes, and why some are not supported. (params.py of 4.2.0.dev0.)"""

from collotype.importers.arguments import Takes, by_flag

ONE = (
    "model pretrained batch-size workers epochs epochs-cooldown wd grad-clip-norm opt warmup lr beta1 beta2 eps "
    "momentum lr-scheduler lr-cooldown-end lr-cooldown-power precision accum-freq dataset-type train-data val-data "
    "train-num-samples val-num-samples train-data-upsampling-factors csv-img-key csv-caption-key csv-separator "
    "image-key text-key json-text-key max-image-pixels imagenet-val imagenet-v2 zeroshot-frequency val-frequency "
    "val-retrieval-chunk-size val-retrieval-precision save-frequency resume seed logs name report-to wandb-notes "
    "wandb-project-name log-every-n-steps log-metric-every-n-steps train-loss-ema-samples remote-sync "
    "remote-sync-frequency remote-sync-protocol lock-image-unlocked-groups lock-text-unlocked-layers distill-model "
    "distill-pretrained loss-dist-impl torchcompile-strategy torchcompile-backend torchcompile-mode fsdp-checkpoint "
    "dist-url dist-backend device cache-dir force-context-length force-patch-dropout text-layer-decay "
    "image-layer-decay audio-layer-decay image-interpolation image-resize-mode coca-caption-loss-weight "
    "coca-contrastive-loss-weight use-bnb-linear text-pad-multiple bucket-pool bucket-chunk bench-steps"
)
SWITCHES = (
    "dataset-resampled use-bn-sync skip-scheduler save-most-recent lock-image lock-image-freeze-bn-stats lock-text "
    "lock-text-freeze-layer-norm grad-checkpointing local-loss gather-with-grad force-quick-gelu force-custom-text "
    "torchscript trace torchcompile fsdp fsdp-no-reshard-after-forward fsdp-offload-cpu ddp-static-graph "
    "no-set-device-rank debug copy-codebase horovod log-local delete-previous-checkpoint pretrained-image siglip "
    "use-naflex force-naflex-vision length-bucketing synthetic-data"
)
MANY = "aug-cfg image-mean image-std force-image-size opt-kwargs opt-fallback-list wd-exclude"
FLAGS: dict[str, Takes] = by_flag((ONE, "one"), (SWITCHES, "none"), (MANY, "many"))

LIT = "towers are trained whole here"
ONLY_THERE = "it changes the model or the training, and is not supported"
LOGGING = "what a run writes is always the same (metrics.jsonl, report.html); trackers are named with --track"
MACHINE = "concerns the machine only and changes no number here"
GENERATIVE = "CoCa, distillation and NaFlex are not supported"
REASONS = by_flag(
    (
        "logs name report-to wandb-notes wandb-project-name log-every-n-steps log-metric-every-n-steps log-local "
        "debug copy-codebase remote-sync remote-sync-frequency remote-sync-protocol train-loss-ema-samples",
        LOGGING,
    ),
    (
        "dist-url dist-backend device ddp-static-graph no-set-device-rank horovod torchcompile "
        "torchcompile-strategy torchcompile-backend torchcompile-mode torchscript trace cache-dir loss-dist-impl "
        "length-bucketing bucket-pool bucket-chunk text-pad-multiple "
        "fsdp-no-reshard-after-forward fsdp-offload-cpu fsdp-checkpoint",
        MACHINE,
    ),
    ("save-most-recent delete-previous-checkpoint", "train.keep_checkpoints sets how many are kept"),
    ("resume", "a run continues with --resume"),
    ("fsdp", "a CLIP's logit scale is a single number, which cannot be sharded"),
    (
        "val-num-samples val-frequency val-retrieval-chunk-size val-retrieval-precision",
        "it is counted and exact here",
    ),
    ("dataset-resampled", "here every example comes once an epoch"),
    ("train-data-upsampling-factors", "of a table there is one"),
    ("max-image-pixels", "larger images are read here, too"),
    ("epochs-cooldown lr-cooldown-end lr-cooldown-power", "there is no cooldown"),
)
CHANGING = by_flag(
    (
        "lock-image lock-image-unlocked-groups lock-image-freeze-bn-stats lock-text lock-text-unlocked-layers "
        "lock-text-freeze-layer-norm",
        LIT,
    ),
    (
        "distill-model distill-pretrained coca-caption-loss-weight coca-contrastive-loss-weight use-naflex "
        "force-naflex-vision",
        GENERATIVE,
    ),
    ("image-mean image-std image-interpolation image-resize-mode", "images are read as CLIP's are"),
    ("pretrained-image", "towers start together, from model.size or model.weights"),
    (
        "force-context-length force-patch-dropout force-custom-text text-layer-decay image-layer-decay opt-kwargs "
        "wd-exclude use-bnb-linear",
        ONLY_THERE,
    ),
)
"""Of flags that change a result and have no counterpart; they are said first."""
OTHERWISE = "nothing here corresponds to it"
