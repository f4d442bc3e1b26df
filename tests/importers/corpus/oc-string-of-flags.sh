#!/bin/bash
set -euo pipefail
GPUS=8
BS=128
BASE="--precision amp_bf16 --workers 8 --batch-size ${BS} \
    --beta1 0.9 --beta2 0.98 --eps 1e-6 --wd 0.05 --dataset-type webdataset"
LONG="${BASE} --epochs 40 --warmup 150"
run() {
    local TAG=$1 PORT=$2; shift 2
    local NAME="ft_${TAG}"
    echo "== ${TAG} => ${NAME} =="
    torchrun --nproc_per_node=${GPUS} --master_port=${PORT} -m open_clip_train.main \
        --model ViT-B-16 --train-data "/d/{000..099}.tar" --train-num-samples 400000 \
        "$@" --name "${NAME}" < /dev/null
}
run "best" 29800 --lr 2e-4 ${LONG}
