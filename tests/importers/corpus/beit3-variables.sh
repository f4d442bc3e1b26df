DATA=/data/vqa
M=/models
N_GPU=4
torchrun --nproc_per_node=$N_GPU run_beit3_finetuning.py --model beit3_large_patch16_480 --task vqav2 --batch_size 4 \
  --update_freq $((32 / N_GPU / 4)) --lr 1e-5 --warmup_steps 333 --epochs 6 --sentencepiece_model $M/beit3.spm --data_path $DATA --finetune $M/beit3_large_patch16_224.pth
