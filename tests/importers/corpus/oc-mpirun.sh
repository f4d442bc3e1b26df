mpirun -np 16 -npernode 8 -x PATH -x LD_LIBRARY_PATH --bind-to none python -m open_clip_train.main \
  --train-data '/d/{000..099}.tar' --train-num-samples 2000000 --batch-size 96 --epochs 3 --lr 1e-3 --model RN50 --warmup 99
