#!/bin/bash
SIZE=large
case "$SIZE" in
  small) BS=64; E=5 ;;
  large|huge) BS=300; E=9 ;;
  *) echo no; exit 1 ;;
esac
torchrun --nproc_per_node 2 -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
  --batch-size $BS --epochs $E --lr 1e-3 --warmup 10 --model RN50
