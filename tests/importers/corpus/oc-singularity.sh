#!/bin/bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
srun singularity exec --nv --bind /scratch image.sif python -m open_clip_train.main --train-data '/scratch/{000..099}.tar' \
  --train-num-samples 2000000 --batch-size 64 --epochs 2 --lr 1e-4 --warmup 10 --model RN50
