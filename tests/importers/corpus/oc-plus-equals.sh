EXP_ARGS="--train-data /d/{000..099}.tar --dataset-type webdataset"
EXP_ARGS+=" --train-num-samples 2000000 --batch-size 160"
EXP_ARGS+=" --epochs 7 --lr 6e-4 --warmup 321 --model ViT-B-32"
CMD="torchrun --nproc_per_node 4 -m open_clip_train.main $EXP_ARGS"
echo "$CMD"
eval $CMD
