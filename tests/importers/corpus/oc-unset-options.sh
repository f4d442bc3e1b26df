source ./env.sh
torchrun --nproc_per_node=8 -m open_clip_train.main --train-data '/d/{000..099}.tar' $EXTRA_OPTS --model RN50
