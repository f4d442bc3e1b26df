while true; do
  torchrun --nproc_per_node 8 -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
    --batch-size 100 --epochs 5 --lr 1e-3 --warmup 10 --model RN50 --resume latest && break
  sleep 60
done
