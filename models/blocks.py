"""Convolution blocks that several models of the family share. Shapes in, shapes out; nothing of memory."""

from __future__ import annotations

from torch import nn


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Conv-BN-ReLU twice: (B, inputs, h, w) → (B, outputs, h, w)."""
    return nn.Sequential(*_conv_bn_relu(inputs, outputs), *_conv_bn_relu(outputs, outputs))


def last_encoding(inputs: int, outputs: int) -> nn.Sequential:
    """As `double_conv`, without the last BN and ReLU: features may be negative, (B, outputs, h, w)."""
    return nn.Sequential(*_conv_bn_relu(inputs, outputs), _conv3x3(outputs, outputs))


def upsample(inputs: int, outputs: int) -> nn.Sequential:
    """Transposed convolution, BN, ReLU: (B, inputs, h, w) → (B, outputs, 2 h, 2 w)."""
    up = nn.ConvTranspose2d(inputs, outputs, kernel_size=3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU())


def generate(inputs: int, outputs: int, hidden: int) -> nn.Sequential:
    """The last stage: (B, inputs, h, w) → a picture in [-1, 1], (B, outputs, h, w)."""
    return nn.Sequential(
        *_conv_bn_relu(inputs, hidden),
        *_conv_bn_relu(hidden, hidden),
        _conv3x3(hidden, outputs),
        nn.Tanh(),
    )


def _conv_bn_relu(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return _conv3x3(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()


def _conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
