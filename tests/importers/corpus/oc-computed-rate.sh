LR=$(python3 -c "print(3e-4 * 2)")
torchrun --nproc_per_node=8 -m open_clip_train.main --train-data '/d/{000..099}.tar' --lr $LR --model RN50
