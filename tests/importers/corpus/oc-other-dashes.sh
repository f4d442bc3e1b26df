torchrun --nproc_per_node 4 -m open_clip_train.main --model RN50 --train-data t.csv --train-num-samples 100000 --batch_size 64 --warmup 20 --epochs 1
