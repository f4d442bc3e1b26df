#!/bin/bash
#SBATCH --partition=gpu
#SBATCH --nodes 5
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --exclusive
module load openmpi cuda/11.8
export HOSTNAMES=`scontrol show hostnames "$SLURM_JOB_NODELIST"`
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export COUNT_NODE=`scontrol show hostnames "$SLURM_JOB_NODELIST" | wc -l`
echo go $COUNT_NODE
EXP="b16-large-batch"
srun --comment lab --cpu_bind=v python -m training.main \
    --train-data="pipe:aws s3 cp s3://bucket/set/shard_{000000..000999}.tar -" \
    --train-num-samples 2000000 --dataset-type webdataset --dataset-resampled \
    --warmup 4000 --batch-size=100 --epochs=12 --lr 1e-3 --workers=2 --name ${EXP} \
    --model ViT-B-16 --ddp-static-graph --local-loss --gather-with-grad --precision amp_bfloat16 --save-most-recent
