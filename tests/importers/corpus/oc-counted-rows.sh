N=$(cat captions.csv | wc -l)
torchrun --nproc_per_node 4 -m open_clip_train.main --model ViT-B-32 --train-data captions.csv --train-num-samples $((N - 1)) --batch-size 128 --epochs 5 --warmup 500 --lr 5e-4
