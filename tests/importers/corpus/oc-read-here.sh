read -r -d '' ARGS <<'EOF'
--model RN50 --train-data t.csv --train-num-samples 1000 --batch-size 10 --epochs 1 --warmup 5
EOF
torchrun --nproc_per_node 4 -m open_clip_train.main $ARGS
