deepspeed --include localhost:0,1,2 train.py --per_device_train_batch_size 4 --max_steps 900 --learning_rate 1e-5 --deepspeed ds.json
