srun --cpu_bind=v python src/open_clip_train/main.py --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
  --batch-size 200 --epochs 16 --lr 1e-3 --model RN101 --warmup 1000
