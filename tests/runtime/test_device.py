"""A device that is full."""

import pytest
import torch

from collotype.runtime.device import room_on
from collotype.runtime.errors import UserError


def test_a_full_gpu_is_a_sentence_with_advice() -> None:
    with pytest.raises(UserError, match=r"ran out of memory \(CUDA out of memory\); take a smaller batch\."):
        with room_on(torch.device("cpu"), "take a smaller batch"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
