"""Which files of a CLIP are read; without torch."""

from collotype.families.shared.checkpoints import ModelFiles, is_native
from collotype.runtime.hub import ModelLocation
from collotype.runtime.model_folder import DESCRIPTION

OPEN_CLIP = "open_clip_config.json"
SAFETENSORS, PICKLE = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
"""The files of open_clip's layout of the hub."""


def needed(location: ModelLocation) -> list[str]:
    """Safetensors, or the pickle of tensors where it has none."""
    if location.found is None:
        return []
    if is_native(location.folder):
        return [*location.weights("model"), "tokenizer.json"]
    return [SAFETENSORS if location.has(SAFETENSORS) else PICKLE]


FILES = ModelFiles(
    small=(DESCRIPTION, OPEN_CLIP),
    to_copy=(OPEN_CLIP, SAFETENSORS),
    expected="a model's folder, a checkpoint's file, or a hub repository (org/name)",
    needed=needed,
)
