NAME=$(echo "run-$(echo b) one")
N=$(echo 4)
torchrun --nproc_per_node $N -m open_clip_train.main --name "$NAME" --model RN50 --train-data t.csv --train-num-samples 4000 --batch-size 25 --epochs 2 --warmup 3 --lr 1e-3
