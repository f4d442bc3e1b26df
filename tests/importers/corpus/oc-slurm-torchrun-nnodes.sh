#!/bin/bash
#SBATCH -N 3   # nodes
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
export NNODES=$SLURM_NNODES
export GPUS_PER_NODE=8
srun torchrun --nnodes=$SLURM_NNODES --nproc_per_node=$GPUS_PER_NODE --rdzv_id=$SLURM_JOB_ID --rdzv_backend=c10d \
  --rdzv_endpoint=$MASTER_ADDR:29500 -m open_clip_train.main --train-data '/d/{0000..0199}.tar' \
  --train-num-samples 2000000 --dataset-type webdataset --batch-size 128 --epochs 5 --lr 5e-4 --warmup 700 \
  --workers 4 --model RN50
