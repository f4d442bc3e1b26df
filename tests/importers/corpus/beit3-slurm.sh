#!/bin/bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
srun python run_beit3_finetuning.py --model beit3_base_patch16_384 --task vqav2 --sentencepiece_model /m/beit3.spm --data_path /data/vqa --batch_size 16 --lr 2e-5 --epochs 10 --warmup_epochs 1 --dist_on_itp
