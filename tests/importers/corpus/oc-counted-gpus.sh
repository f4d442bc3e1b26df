#!/bin/bash
NGPU=$(nvidia-smi -L | wc -l)
torchrun --nproc_per_node $NGPU -m open_clip_train.main --model ViT-B-32 --train-data '/d/{000..099}.tar' --train-num-samples 500000 --dataset-type webdataset --batch-size 128 --epochs 5 --warmup 500 --lr 5e-4
