"""Patch embeddings of transformers' models, computed as a matrix product."""

from torch import Tensor, nn
from torch.nn import functional


class PatchProduct(nn.Conv3d):
    """The convolution of a patch embedding whose input [N, …] is already cut into patches, as the matrix product
    [N, out channels] that it is: torch takes several times as long for the convolution."""

    def forward(self, patches: Tensor) -> Tensor:
        return functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


def multiply_patches(backbone: nn.Module) -> nn.Module:
    """The backbone, its patch embeddings of that kind computed so."""
    for module in backbone.modules():
        if type(module) is nn.Conv3d and module.stride == module.kernel_size:
            module.__class__ = PatchProduct
    return backbone
