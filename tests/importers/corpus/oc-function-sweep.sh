#!/bin/bash
run() { torchrun --nproc_per_node=8 -m open_clip_train.main --model RN50 --train-data /d/a.tar --train-num-samples 9000 "$@"; }
run --lr 1e-3 --epochs 5
run --lr 5e-4 --epochs 5
