poetry run torchrun --nproc_per_node=${NUM_GPUS:?need} -m open_clip_train.main --model RN50 --train-data t.csv --train-num-samples 10000 --batch-size 10 --epochs 1 --warmup 5
