#!/bin/bash
if [ $# -lt 1 ]; then
  echo "usage: $0 NAME"
  exit 1
fi
NAME=$1
if [ -z "$WORKERS" ]; then WORKERS=5; fi
[ -d logs ] || mkdir logs
nohup torchrun --nproc_per_node=2 -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
  --batch-size 128 --workers $WORKERS --epochs 2 --lr 1e-3 --warmup 20 --model RN50 --name "$NAME" > logs/$NAME.log 2>&1 &
