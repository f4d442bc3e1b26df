torchrun --nproc_per_node 2 -m open_clip_train.main --model RN50x4 --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
  --lr-scheduler const-cooldown --epochs-cooldown 2 --epochs 10 --batch-size 64 --lr 1e-3 --warmup 100
