#!/bin/bash -x
#SBATCH --nodes=6
#SBATCH --gres=gpu:4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=10
#SBATCH --job-name=captions
eval "$(/opt/conda/bin/conda shell.bash hook)"
conda activate clip
export CUDA_VISIBLE_DEVICES=0,1,2,3
export MASTER_PORT=15777
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR=$first
cd /shared/open_clip
export PYTHONPATH="$PYTHONPATH:$PWD/src"
srun --cpu_bind=v --accel-bind=gn python -u src/open_clip_train/main.py \
    --save-frequency 1 --report-to tensorboard \
    --train-data="/data/web/{00000..01499}.tar" --train-num-samples 2000000 --dataset-type webdataset \
    --warmup 1500 --batch-size=192 --epochs=20 --workers=6 --lr 8e-4 \
    --model ViT-B-32 --name "web-b32" --seed 3 --local-loss --gather-with-grad
