#!/bin/sh
#SBATCH -p gpu
#SBATCH --job-name=colqwen
#SBATCH --gres=gpu:nvidia_rtx_a6000:4   # one for each process
accelerate launch --main_process_port 29501 scripts/train/train_colbert.py colpali-qwen2.yaml
