#!/bin/bash
#SBATCH --nodes=4
export MASTER_PORT=12802
DATA="/data/LAION-400M/{00000..41455}.tar"
srun --nodes 4 --ntasks-per-node 8 --cpu_bind=v python -u src/open_clip_train/main.py \
    --train-data "$DATA" --dataset-resampled --train-num-samples 135646078 \
    --model ViT-B-32-quickgelu --precision amp --batch-size 256 --accum-freq 2 --epochs=${EPOCHS:-32} \
    --lr 5e-4 --wd 0.2 --warmup 2000 --seed 3 --grad-clip-norm 1.0 \
    --local-loss --aug-cfg 'scale=(0.4, 1.0)' color_jitter=0.32 color_jitter_prob=0.8 use_timm=True \
    --imagenet-val /data/imagenet/val --imagenet-v2 /data/imagenet-v2 > train.log 2>&1
