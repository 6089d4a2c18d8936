"""A network for inference: batch norms folded into the convolutions before them.

In eval mode a batch norm is y = γ (x - μ) / √(σ² + ε) + β with constants of training, and so is a
convolution with other weights and another bias (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, eq. 14). The result differs
from the original by rounding alone and saves one pass over memory for each batch norm.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

N = TypeVar("N", bound=nn.Module)

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
RECTIFIERS = (nn.ReLU, nn.LeakyReLU)


@torch.no_grad()
def folded(model: N) -> N:
    """Return a copy of `model` for inference; `model` stays as it is.

    Within each `nn.Sequential`, a convolution followed by its batch norm becomes one convolution,
    computed in float64, and a rectifier after a convolution writes over its input. Raises
    ValueError for a network in train mode, whose batch norms are not constant.
    """
    if model.training:
        raise ValueError("only a network in eval mode can be folded")
    copied = copy.deepcopy(model)
    for block in copied.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for (name, layer), (next_name, norm) in pairwise(list(block.named_children())):
            if isinstance(layer, CONVOLUTIONS) and isinstance(norm, NORMS):
                fused = fuse_conv_bn_eval(
                    copy.deepcopy(layer).double(),
                    copy.deepcopy(norm).double(),
                    transpose=isinstance(layer, TRANSPOSED),
                )
                setattr(block, name, fused.to(layer.weight.dtype))
                setattr(block, next_name, nn.Identity())
        kept = [layer for layer in block if not isinstance(layer, nn.Identity)]
        for before, layer in pairwise(kept):
            if isinstance(before, CONVOLUTIONS) and isinstance(layer, RECTIFIERS):
                layer.inplace = True
    return copied
