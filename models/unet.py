"""A U-Net of four levels that inpaints frames: RIAD's and SMAI's."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

DOWN_PX = 16
"""The input is halved four times: its sides are multiples of this."""


class UNet(nn.Module):
    """(B, 3, H, W) in [-1, 1] → (B, 3, H, W) in [-1, 1]."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.down1 = Down(3, w, kernel=3, stride=1)
        self.down2 = Down(w, 2 * w)
        self.down3 = Down(2 * w, 4 * w)
        self.down4 = Down(4 * w, 8 * w)
        self.down5 = Down(8 * w, 8 * w)
        self.up1 = Up(8 * w, 8 * w)
        self.up2 = Up(8 * w, 4 * w)
        self.up3 = Up(4 * w, 2 * w)
        self.up4 = Up(2 * w, w)
        self.conv_final = nn.Sequential(nn.Conv2d(w, 3, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """x: a frame of which something is removed, 0 there."""
        d1 = self.down1(x)  # (B, w, H, W)
        d2 = self.down2(d1)  # (B, 2 w, H/2, W/2)
        d3 = self.down3(d2)  # (B, 4 w, H/4, W/4)
        d4 = self.down4(d3)  # (B, 8 w, H/8, W/8)
        d5 = self.down5(d4)  # (B, 8 w, H/16, W/16)
        u1 = self.up1(d5, d4)  # (B, 8 w, H/8, W/8)
        u2 = self.up2(u1, d3)  # (B, 4 w, H/4, W/4)
        u3 = self.up3(u2, d2)  # (B, 2 w, H/2, W/2)
        u4 = self.up4(u3, d1)  # (B, w, H, W)
        frame: Tensor = self.conv_final(u4)  # (B, 3, H, W)
        return frame


def double_conv(first: nn.Conv2d, w: int) -> OrderedDict[str, nn.Module]:
    """Two convolutions, the second of w channels, each with BN and ReLU."""
    return OrderedDict(
        conv1=first,
        bn1=nn.BatchNorm2d(w),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(w, w, 3, padding=1),
        bn2=nn.BatchNorm2d(w),
        relu2=nn.ReLU(),
    )


class Down(nn.Sequential):
    """(B, inputs, h, w) → (B, outputs, h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 4, stride: int = 2) -> None:
        super().__init__(double_conv(nn.Conv2d(inputs, outputs, kernel, stride, 1), outputs))


class Up(nn.Sequential):
    """Upsampled and joined to a skip: (B, inputs, h, w) → (B, outputs, 2 h, 2 w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        upconv = nn.ConvTranspose2d(inputs, outputs, 4, 2, padding=1)
        convs = double_conv(nn.Conv2d(2 * outputs, outputs, 3, padding=1), outputs)
        super().__init__(OrderedDict(upconv=upconv) | convs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]  # and a skip
        """x: (B, inputs, h, w); skip: (B, outputs, 2 h, 2 w)."""
        upconv, *convs = self
        x = torch.cat((upconv(x), skip), dim=1)  # (B, 2 outputs, 2 h, 2 w)
        for layer in convs:
            x = layer(x)
        return x
