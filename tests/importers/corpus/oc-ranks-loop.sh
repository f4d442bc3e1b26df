for i in 0 1 2 3; do
  CUDA_VISIBLE_DEVICES=$i RANK=$i WORLD_SIZE=4 python -m open_clip_train.main --model RN50 --batch-size 64 --train-data t.csv --train-num-samples 100000 --warmup 5 --epochs 1 &
done
wait
