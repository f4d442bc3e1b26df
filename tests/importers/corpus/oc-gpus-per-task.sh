#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-task=4
#SBATCH --ntasks-per-node=1
export GPUS_PER_NODE=$(nvidia-smi --list-gpus | wc -l)
head_node_ip=$(srun --nodes=1 --ntasks=1 -w "$head_node" hostname --ip-address)
srun torchrun --nnodes 2 --nproc_per_node $SLURM_GPUS_ON_NODE --rdzv_endpoint $head_node_ip:29500 -m open_clip_train.main --model RN50 --train-data t.csv --train-num-samples 10000 --batch-size 10 --epochs 1 --warmup 5
