"""Pictures to pixels."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class EvaluationTransform:
    """Shortest side to `size`, the middle of the longer one, as bytes [3, size, size]; the model normalises them."""

    def __init__(self, size, mean, std, interpolation="bicubic", resize_mode="shortest"):
        self.size, self.resample = size, Image.Resampling[interpolation.upper()]

    def __call__(self, image: Image.Image) -> Tensor:
        width, height = image.size
        scale = self.size / min(width, height)
        image = image.resize((max(self.size, int(width * scale)), max(self.size, int(height * scale))), self.resample)
        left, top = round((image.width - self.size) / 2), round((image.height - self.size) / 2)
        image = image.crop((left, top, left + self.size, top + self.size)).convert("RGB")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
