#!/bin/bash
source ./cluster-settings.sh
torchrun --nproc_per_node 4 -m open_clip_train.main --train-data /pool/notes.tar --train-num-samples 600000 \
  --dataset-type webdataset --model ViT-B-32 --batch-size ${BATCH:-75} --lr 3e-4 --warmup 90 --epochs 2
