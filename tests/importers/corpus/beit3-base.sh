python -m torch.distributed.launch --nproc_per_node=8 run_beit3_finetuning.py \
        --model beit3_base_patch16_480 --input_size 480 --task vqav2 --sentencepiece_model /m/beit3.spm --data_path /data/vqa --batch_size 8 --layer_decay 1.0 --lr 3e-5 \
        --update_freq 2 --randaug --epochs 12 --warmup_epochs 2 --drop_path 0.1 \
        --finetune /m/beit3_base_patch16_224.pth --output_dir /out --weight_decay 0.01 --seed 1 --task_head_lr_weight 20 --opt_betas 0.9 0.98 --enable_deepspeed
