cat flags.txt | xargs torchrun --nproc_per_node 2 -m open_clip_train.main --train-data '/d/{000..099}.tar' --model RN50
