torchrun --nproc_per_node=4 -m training.main \
    --train-data '/d/{000..099}.tar' \ 
    --batch-size 160 --lr 1e-5
