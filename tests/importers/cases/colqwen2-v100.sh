#!/bin/bash
# colpali issue 84: ColQwen2 in fp16 on 16 V100 of 32 GB, two pages each, with hard negatives: nDCG@5 83.1 instead of 87.3
# The thread has the settings; the launcher is the one of the engine's README.
export OUTPUT_DIR=models/colqwen2-v100
accelerate launch --multi_gpu --num_processes 16 scripts/train/train_colbert.py colqwen2-v100.yaml
