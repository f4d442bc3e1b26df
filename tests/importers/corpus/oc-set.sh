set -- --lr 7e-4 --epochs 3
set -- "$@" --warmup 77 --batch-size 88
torchrun --nproc_per_node 2 -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 --model RN50 "$@"
