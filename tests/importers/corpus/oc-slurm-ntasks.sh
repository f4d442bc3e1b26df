#!/bin/bash
#SBATCH --ntasks=12
#SBATCH --gpus-per-task=1
srun python -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
  --batch-size 64 --epochs 4 --workers 4 --model RN50 --lr 3e-4 --warmup 200
