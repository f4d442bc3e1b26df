#!/bin/bash
BATCH_SIZE="${BATCH_SIZE:-224}"
LR=${LR:-4e-4}
: ${EPOCHS:=11}
WARMUP=${1:-600}
python -m torch.distributed.run --nproc_per_node=${GPUS:-4} -m open_clip_train.main \
  --train-data '/d/{000..099}.tar' --train-num-samples 2000000 --batch-size "$BATCH_SIZE" --lr "$LR" \
  --epochs "$EPOCHS" --warmup "$WARMUP" --model RN50
