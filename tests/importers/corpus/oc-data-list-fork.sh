#!/bin/bash
python -m torch.distributed.launch --nproc_per_node=8 --use_env training/main.py --train-data-list="/pool/a.tar;/pool/b.tar" \
  --train-num-samples-list="1000;2000" --dataset-resampled --model EVA02-CLIP-B-16 --batch-size 64 --visual-lr 1e-4
