torchrun --nproc_per_node=8 -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 --model RN50 "$@"
