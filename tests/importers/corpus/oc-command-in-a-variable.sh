cmd="torchrun --nproc_per_node 4 -m open_clip_train.main"
cmd+=" --model RN50 --train-data t.csv --train-num-samples 100000"
cmd="$cmd --batch-size 32 --epochs 2 --warmup 9"
echo $cmd
$cmd
