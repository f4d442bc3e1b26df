#!/bin/bash
if [ "$1" = "debug" ]; then BS=8; else BS=256; fi
torchrun --nproc_per_node 2 -m open_clip_train.main --train-data '/d/{000..099}.tar' --batch-size $BS --model RN50
