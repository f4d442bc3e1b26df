#!/usr/bin/env bash
ARGS=(
  --train-data "/data/yfcc/{0000..0899}.tar"   # 900 shards
  --train-num-samples 9000000
  --dataset-type webdataset
  --batch-size 512
  --epochs 6
)
ARGS+=(--lr 5e-4 --warmup 1234)
if [[ -n "${DEBUG:-}" ]]; then ARGS+=(--debug); fi
torchrun --standalone --nproc-per-node=8 -m open_clip_train.main "${ARGS[@]}" --model RN50 --workers 8
