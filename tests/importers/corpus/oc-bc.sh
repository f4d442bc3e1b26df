BS=256
LR=$(echo "0.0005 * $BS / 256" | bc -l)
torchrun --nproc_per_node 4 -m open_clip_train.main --model RN50 --train-data t.csv --train-num-samples 100000 --batch-size 64 --lr $LR --epochs 1 --warmup 5
