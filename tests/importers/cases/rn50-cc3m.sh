#!/bin/bash
# open_clip issue 930: RN50 on pixparse/cc3m-wds stays below the README's curve, which ends near 20 %
torchrun --nnodes 1 \
    --nproc_per_node 8 \
    -m open_clip_train.main \
    --model RN50 \
    --train-data 'datasets/cc3m/cc3m-train-{0000..0575}.tar' \
    --train-num-samples 2905954 \
    --dataset-type webdataset \
    --imagenet-val datasets/imagenet-1k/val \
    --batch-size 128 \
    --accum-freq 1 \
    --lr 1e-3 \
    --wd 0.1 \
    --epochs=32 \
    --warmup 10000 \
    --grad-checkpointing \
    --precision amp_bf16 \
    --workers 32 \
    --log-every-n-steps 5 \
    --logs ./work_dirs/ \
    --name sample_bs128x8 \
    --save-frequency 1 \
    --zeroshot-frequency 1 \
    --report-to tensorboard \

