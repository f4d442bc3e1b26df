#!/bin/bash
# unilm issue 1597: the whole test set is answered, then the process group that was never made ends it
python run_beit3_finetuning.py \
        --model beit3_base_patch16_480 \
        --input_size 480 \
        --task vqav2 \
        --batch_size 16 \
        --sentencepiece_model data/beit3.spm \
        --finetune data/beit3_base_indomain_patch16_224.pth \
        --data_path data/vqav2 \
        --output_dir ./predictions \
        --eval \
        --dist_eval
