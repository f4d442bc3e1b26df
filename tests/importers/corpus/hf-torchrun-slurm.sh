#!/bin/bash
#SBATCH --nodes=4
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=1
export LAUNCHER="torchrun --nnodes $SLURM_NNODES --nproc_per_node 8 --rdzv_backend c10d"
export CMD="finetune.py --per_device_train_batch_size 2 --gradient_accumulation_steps 4 --num_train_epochs 1 \
  --learning_rate 5e-6 --warmup_steps 60 --output_dir /out"
srun --jobid $SLURM_JOBID bash -c "$LAUNCHER --node_rank \$SLURM_PROCID $CMD"
