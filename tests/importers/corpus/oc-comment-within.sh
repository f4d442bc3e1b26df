python -m open_clip_train.main \
    --train-data '/d/{000..099}.tar' \
    # --lr 1e-3 \
    --batch-size 160
