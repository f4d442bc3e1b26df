while getopts "b:l:" o; do case $o in b) B=$OPTARG;; l) L=$OPTARG;; esac; done
torchrun --nproc_per_node 4 -m open_clip_train.main --model RN50 --train-data t.csv --train-num-samples 100000 --batch-size ${B:-32} --lr ${L:-1e-3} --epochs 2 --warmup 9
