"""Frozen weights in 4 bits (NF4, QLoRA, arXiv 2305.14314), through bitsandbytes."""

from typing import TYPE_CHECKING

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from collotype.families.retriever.model import Retriever


def quantize(model: "Retriever") -> "Retriever":
    """Gives the backbone's linear layers weights in 4 bits, in place; they are computed with in the input's type.

    Raises:
        UserError: bitsandbytes cannot be imported.
    """
    require_bitsandbytes()
    from bitsandbytes.nn import Linear4bit, Params4bit
    from torch import nn

    for name, layer in list(model.backbone.named_modules()):
        if type(layer) is nn.Linear:
            small = Linear4bit(layer.in_features, layer.out_features, layer.bias is not None, quant_type="nf4")
            small.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4", module=small)
            small.bias = layer.bias
            model.backbone.set_submodule(name, small.to(layer.weight.device))
    return model


def require_bitsandbytes() -> None:
    """
    Raises:
        UserError: bitsandbytes cannot be imported.
    """
    try:
        import bitsandbytes.nn  # noqa: F401 - whether it can be
    except ImportError as error:
        raise UserError(
            f"model.quantize is nf4, but bitsandbytes cannot be imported ({error}); install it with "
            "`pip install 'collotype[bitsandbytes]'`, or use --set model.quantize=none."
        ) from error
