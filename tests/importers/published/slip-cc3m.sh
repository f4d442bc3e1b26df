torchrun --nproc_per_node=8 --nnodes=4 main.py --dataset cc3m --root /data/cc3m --metadata cc3m.npy \
    --model CLIP_VITB16 --lr 3e-3 --wd 0.1 --batch-size 128 --epochs 40 --warmup-epochs 2 --workers 12 \
    --output-dir out/clip --wandb
