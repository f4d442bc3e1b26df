#!/bin/bash
GLOBAL=8192; GPUS=8; ACCUM=2
PER=$(( GLOBAL / GPUS / ACCUM ))
EPOCHS=$((2 * 5))
torchrun --nproc_per_node=$GPUS -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
  --batch-size $PER --accum-freq $ACCUM --epochs $EPOCHS --lr 2e-3 --warmup $((100*EPOCHS)) --model ViT-B-16
