accelerate launch --num_processes=4 --main_process_port=12346 -m lmms_eval \
    --model llava --model_args pretrained="liuhaotian/llava-v1.6-vicuna-7b",device_map=auto \
    --tasks vqav2_val --batch_size 1 --limit 500 --log_samples --log_samples_suffix vqav2 --output_path ./logs/
