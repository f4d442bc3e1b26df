srun -N2 --ntasks-per-node=8 --gres=gpu:8 --exclusive python -u -m open_clip_train.main \
  --train-data '/d/{000..099}.tar' --train-num-samples 2000000 --batch-size 200 --epochs 16 --lr 1e-3 --model RN101 --warmup 1000
