python -m torch.distributed.launch --nproc_per_node=1 run_beit3_finetuning.py --model beit3_base_patch16_384 \
  --input_size 384 --task coco_retrieval --batch_size 16 --sentencepiece_model beit3.spm --finetune x.pth --data_path d --eval --dist_eval
