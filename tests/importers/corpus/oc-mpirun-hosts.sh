mpirun -H a:4,b:4 python -m open_clip_train.main \
  --train-data '/d/{000..099}.tar' --train-num-samples 2000000 --batch-size 96 --epochs 3 --lr 1e-3 --model RN50 --warmup 99
