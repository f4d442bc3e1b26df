#!/bin/bash
#SBATCH --ntasks=4
SLURM_ARRAY_TASK_ID=1
RATES=(1e-3 5e-4 1e-4)
srun python -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
  --batch-size 64 --epochs 4 --lr ${RATES[$SLURM_ARRAY_TASK_ID]} --model RN50 --warmup 50
