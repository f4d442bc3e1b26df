#!/bin/bash
export CUDA_VISIBLE_DEVICES=2
CHECKPOINT=vidore/colqwen2-v1.0
vidore-benchmark evaluate-retriever \
    --model-class colqwen2 \
    --model-name $CHECKPOINT \
    --collection-name vidore/vidore-benchmark-667173f98e70a1c0fa4db00d \
    --dataset-format qa --split test \
    --batch-query 8 --batch-passage 8 --batch-score 16 --num-workers 4 \
    --output-dir scores
