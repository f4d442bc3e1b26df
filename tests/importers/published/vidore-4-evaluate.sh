pip install -U "vidore-benchmark[colpali]==4.0.2"
vidore-benchmark evaluate-retriever --model-name vidore/colpali-v1.2 --dataset-name vidore/tatdqa_test --split test
