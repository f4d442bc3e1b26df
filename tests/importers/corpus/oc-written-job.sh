#!/bin/bash
cat > job.sbatch <<'EOF'
#!/bin/bash
#SBATCH --ntasks=8
srun python -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
   --batch-size 32 --epochs 2 --lr 1e-4 --warmup 30 --model RN50 --workers 2
EOF
sbatch --time=2:00:00 job.sbatch
