python run_beit3_finetuning.py --model beit3_base_patch16_384 --task vqav2 --sentencepiece_model /m/beit3.spm --data_path /data/vqa --layer_decay 0.65 --lr 5e-4 --epochs 10 --warmup_epochs 2 \
  --batch_size 64 --ffn_adapt --ffn_mode both
