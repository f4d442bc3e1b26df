conda run -n clip --no-capture-output torchrun --nproc_per_node 2 -m open_clip_train.main --train-data train.csv \
  --csv-separator , --csv-img-key path --csv-caption-key text --batch-size 48 --epochs 30 --lr 1e-4 --warmup 40 --model RN50
