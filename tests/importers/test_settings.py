"""Single settings: carried, told, or left out with a reason."""

import re

import pytest

from collotype.importers import import_foreign
from collotype.runtime.errors import UserError
from tests.importers.fuzz import HERE
from tests.importers.test_shell import OPEN_CLIP

CASES, PUBLISHED = HERE / "cases", HERE / "published"


def test_what_differs_is_said_first() -> None:
    command = f"torchrun --nproc_per_node 2 {OPEN_CLIP} --opt lamb --cosinereg 0.1 --lr 1 --lr 1e-4 --logs $HOME/x"
    imported = import_foreign(command)
    assert [one.partition(":")[0] for one in imported.origin.assumed] == ["--opt = lamb", "--cosinereg = 0.1"]
    assert {one.name: one.value for one in imported.left_out}["--lr (earlier)"] == "1"
    assert imported.values["train"]["optimizer"]["lr"] == 1e-4


@pytest.mark.parametrize(
    ("model", "activation", "size"),
    [
        ("ViT-B-32 --pretrained w.pt", "gelu", "ViT-B-32"),
        ("ViT-B/32 --pretrained w.pt", "gelu", "ViT-B-32"),
        ("ViT-B-32-quickgelu --pretrained w.pt", "quick_gelu", "ViT-B-32"),
        ("RN50 --pretrained openai", "quick_gelu", "RN50"),
        ("ViT-L-14 --pretrained w.pt --force-quick-gelu", "quick_gelu", "ViT-L-14"),
        ("hf-hub:org/clip", None, None),
    ],
)
def test_fine_tuning_keeps_what_the_model_s_name_says(model: str, activation: str | None, size: str | None) -> None:
    imported = import_foreign(f"python -m open_clip_train.main --train-data a.tar --model {model}")
    assert imported.values["model"].get("activation") == activation
    assert imported.origin.settings.get("size") == size
    assert imported.origin.settings["weights"] == imported.values["model"]["weights"]


def test_factors_of_shards_are_weights_of_sources() -> None:
    """open_clip draws shards, each by the factor of its source: ten of factor 1 and five of 3 are 10 to 15."""
    data = "--train-data 'a{0..9}.tar::pipe:aws s3 cp s3://b/{0..4}.tar -::c.tar' --dataset-type webdataset"
    command = f"python -m open_clip_train.main --train-num-samples 900 {data} --dataset-resampled"
    sources = import_foreign(f"{command} --train-data-upsampling-factors 1::3::0.5").values["data"]["train"]
    assert [(one["path"], one["weight"]) for one in sources] == [
        ("a{0..9}.tar", 10.0),
        ("s3://b/{0..4}.tar", 15.0),
        ("c.tar", 0.5),
    ]
    with pytest.raises(UserError, match="has 3 sources, but --train-data-upsampling-factors has 2 numbers"):
        import_foreign(f"{command} --train-data-upsampling-factors 1::3")


@pytest.mark.parametrize(
    ("setting", "init", "said"),
    [
        ("init_lora_weights: true", "kaiming", ""),
        ("init_lora_weights: gaussian", "gaussian", ""),
        ("init_lora_weights: false", "kaiming", "init_lora_weights = false: the second matrix is drawn"),
        ("init_lora_weights: pissa_niter_4", "kaiming", "init_lora_weights = pissa_niter_4: it changes the base's"),
        ("init_lora_weights: newest", "kaiming", "init_lora_weights = newest: it is not a supported initialisation"),
        ("use_dora: true", "kaiming", "peft_config.use_dora = true: magnitudes are trained"),
        ("use_dora: false", "kaiming", ""),
        ("rank_pattern: {q_proj: 4}", "kaiming", "peft_config.rank_pattern.q_proj = 4: per-layer ranks"),
        ("bias: all", "kaiming", "peft_config.bias = all: biases are trained"),
        ("brand_new: 3", "kaiming", "peft_config.brand_new = 3: it is not supported"),
        (
            "modules_to_save: [lm_head, custom_text_proj]",
            "kaiming",
            "modules_to_save (lm_head) = lm_head: it is",
        ),
    ],
)
def test_each_setting_of_an_adapter_is_carried_or_told(setting: str, init: str, said: str) -> None:
    text = (CASES / "colqwen2-v100.yaml").read_text()
    start = text.index("  peft_config:")
    lora = f"  peft_config:\n    (): peft.LoraConfig\n    r: 8\n    {setting}\n"
    imported = import_foreign(text[:start] + lora, processes=2, examples=640)
    assert imported.values["model"]["lora"]["init"] == init
    told = [one for one in imported.origin.assumed if one.startswith("peft")]
    assert bool(told) == bool(said) and said in " ".join(told)
    assert imported.values["model"]["lora"]["projection"] == ("full" if "custom_text_proj" in setting else "frozen")


@pytest.mark.parametrize(
    ("modules", "targets"),
    [
        ("'(.*(model).*(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj).*$)'", "language-model"),
        ("'(.*(model).*(q_proj|v_proj).*$)'", "(.*(model).*(q_proj|v_proj).*$)"),
        (
            "'(.*(model)(?!.*visual).*(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj).*$)'",
            "(.*(model)(?!.*visual).*(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj).*$)",
        ),
    ],
)
def test_a_pattern_of_some_layers_stays_a_pattern(modules: str, targets: str) -> None:
    text = (CASES / "bipali.yaml").read_text()
    text = re.sub(r"target_modules: .*", lambda _: f"target_modules: {modules}", text)
    assert import_foreign(text).values["model"]["lora"]["targets"] == targets


def test_the_gpu_is_the_one_that_the_text_names() -> None:
    command = "python -m training.main --train-data v100.tar --logs /a100/{0}"
    for text, device in (
        (command, None),
        (f"# on 8 V100-32GB\n{command}", "V100"),
        (f"srun --gres=gpu:a100:8 -n 8 {command}", "A100"),
        (f"# A100 or H100\n{command}", None),
    ):
        assert import_foreign(text).origin.settings.get("device") == device


@pytest.mark.parametrize(
    ("data", "source", "unknown"),
    [
        (
            "{(): datasets.load_dataset, path: me/pages, split: dev, name: en}",
            {"path": "me/pages", "split": "dev", "subset": "en"},
            {"examples", "processes"},
        ),
        (
            "{(): colpali_engine.data.dataset.ColPaliEngineDataset, data: {(): datasets.load_dataset, path: me/pages}, "
            "query_column_name: q, pos_target_column_name: page, neg_target_column_name: others, num_negatives: 2}",
            {"path": "me/pages", "query_column": "q", "image_column": "page", "negatives_column": "others"},
            {"examples", "processes"},
        ),
        (
            "{(): colpali_engine.utils.dataset_transformation.load_wikiss}",
            {"path": "load_wikiss"},
            {"examples", "processes", "train_dataset (data)"},
        ),
        (
            "{(): colpali_engine.utils.dataset_transformation.load_train_set_with_docmatix}",
            {"path": "vidore/colpali_train_set"},
            {"processes", "train_dataset (docmatix)"},
        ),
    ],
)
def test_what_a_retriever_trains_on(data: str, source: dict, unknown: set[str]) -> None:
    text = (CASES / "bipali.yaml").read_text()
    function = "dataset_loading_func: !ext colpali_engine.utils.dataset_transformation.load_train_set_detailed"
    imported = import_foreign(text.replace(function, f"train_dataset: {data}"))
    assert imported.values["data"]["train"] == {"source": "pairs", **source}
    assert {one.name for one in imported.left_out} & {"examples", "processes", *unknown} == unknown
    assert "examples" not in {
        one.name for one in import_foreign(text.replace(function, f"train_dataset: {data}"), examples=5).left_out
    }


def test_several_datasets_take_turns() -> None:
    text = (CASES / "bipali.yaml").read_text()
    function = "dataset_loading_func: !ext colpali_engine.utils.dataset_transformation.load_train_set_detailed"
    two = "[{(): datasets.load_dataset, path: a}, {(): datasets.load_dataset, path: b}]"
    values = import_foreign(text.replace(function, f"train_dataset: {two}"), examples=960, processes=4).values
    assert [source["path"] for source in values["data"]["train"]] == ["a", "b"]
    assert values["data"]["mixing"] == "one-per-batch"
    assert values["train"]["steps"] == 60
