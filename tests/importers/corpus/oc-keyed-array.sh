#!/bin/bash
# rates by size, a process count by `let`, one seed
declare -A RATE=([tiny]=2e-3 [wide]=4e-4)
size=wide
let "procs = 3 * 2"
for seed in $(seq 3 3); do
  poetry run torchrun --nproc_per_node $procs -m training.main --train-data /pool/notes.tar \
    --train-num-samples 600000 --dataset-type webdataset --model ViT-B-32 --lr ${RATE[$size]} \
    --batch-size 100 --seed $seed --epochs 4 --warmup 60
done
