"""STD: appearance and motion apart. One autoencoder makes the first frame, one the change up to the last; both are held
to clusters of what they usually see.

Y. Chang et al., "Video Anomaly Detection with Spatio-Temporal Dissociation", Pattern Recognition 2022, after
"Clustering Driven Deep Autoencoder for Video Anomaly Detection", ECCV 2020. Parameter names are those of the authors'
code.

Where the authors' code departs from the paper, this follows the code:
- the motion branch takes frames 1 to 4 and gives x5 - x1, the appearance branch reconstructs x1: their sum predicts x5;
- the attention's softmax runs over places of a pooled map, and exp of it scales the features;
- the anomaly's distance is averaged over the clusters, not summed: smaller by K.
Where this departs from the code:
- one optimiser for all losses, and the clusters pull at whole encoders, as in the paper; the code lets them pull at the
  last layers alone, at a rate of their own;
- k-means starts on features of unit length, which are what the clusters are then held against; the code: before that;
- the score itself is scaled per video, not its inverse.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models.base import (
    SINGLE_EPOCH,
    Config,
    Model,
    Output,
    TrainingProgress,
    TrainingStep,
    in_float32,
)
from lookout.models.input_spec import InputSpec
from lookout.models.kmeans import POINTS, kmeans
from lookout.models.scoring.metrics import sum_each

FRAMES = 5


@dataclass(frozen=True, slots=True)
class STDConfig(Config):
    """The published numbers are the defaults."""

    width: int = 32  # channels of the first stage; the others are 2, 4 and 8 times that
    items: int = 32  # K, clusters
    sharpness: float = 25.0  # of the soft assignment
    loss_gradient: float = 0.01  # of the motion branch
    loss_cluster: float = 0.1
    clusters_from: float = 0.5  # share of the epochs before the clusters start
    fusion_weight: float = 0.0  # the score is the fused error times the cluster map alone

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit the network."""
        if min(self.width, self.items - 1) < 1:
            raise ValueError("STD needs width >= 1 and items >= 2")
        if not 0 <= self.clusters_from < 1:
            raise ValueError("clusters_from must lie in [0, 1)")
        self.check(multiple=16)  # the attention looks at a sixteenth

    @property
    def dim(self) -> int:
        """Of a cluster's centre: the features of both branches."""
        return 16 * self.width

    @property
    def input_spec(self) -> InputSpec:
        """The score belongs to x5, which the branches predict together."""
        return InputSpec(FRAMES, scored=FRAMES - 1, memory="fixed", black=0.0)


class Block(nn.Module):
    """Two convolutions beside one, without bias or BN; the first ones halve the picture, or double it: `up`."""

    def __init__(self, inputs: int, outputs: int, *, up: bool = False) -> None:
        super().__init__()
        step = _double if up else _halve
        self.conv1 = step(inputs, outputs) if up else step(inputs, outputs)[0]
        self.conv2 = _conv3x3(outputs, outputs)
        self.downsample = step(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.conv2(
            F.leaky_relu(self.conv1(x))
        )  # (B, outputs, h/2 or 2 h, w/2 or 2 w)
        return F.leaky_relu(inner + self.downsample(x))


class VarianceAttention(nn.Module):
    """Places whose features vary, where something moves, count for more: (B, C, h, w) → the same shape."""

    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.flow = nn.Sequential(
            OrderedDict(proj_conv=nn.Conv2d(channels, channels, 1, bias=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        projected = F.avg_pool2d(self.flow(x), self.pool)  # (B, C, h/p, w/p)
        variance = (
            (projected - projected.mean(dim=1, keepdim=True)).square().sum(dim=1, keepdim=True)
        )
        attention = variance.flatten(2).softmax(dim=2).view_as(variance)  # (B, 1, h/p, w/p)
        return F.interpolate(attention, scale_factor=self.pool).exp() * x


class MotionEncoder(nn.Module):
    """x1 to x4 (B, 12, H, W) → features (B, 8 w, H/8, W/8), sum of sizes 1 a place, and two skips."""

    def __init__(self, w: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [_first(3 * (FRAMES - 1), w)]
        for i, channels in enumerate((w, 2 * w, 4 * w)):
            stage = nn.Sequential()
            stage.add_module(f"feature_ex{i}", nn.Sequential(Block(channels, 2 * channels)))
            stage.add_module(f"att_layer{i + 1}", VarianceAttention(2 * channels, 2 ** (3 - i)))
            stages.append(stage)
        stages[-1].add_module("last_layer", _conv3x3(8 * w, 8 * w))
        self.layer_list = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, one, two, three = self.layer_list
        skip1 = one(first(x))  # (B, 2 w, H/2, W/2)
        skip2 = two(skip1)  # (B, 4 w, H/4, W/4)
        features = three(skip2)  # (B, 8 w, H/8, W/8)
        return F.normalize(features, p=1, dim=1), skip2, skip1


class MotionDecoder(nn.Module):
    """Features and skips → x5 - x1, (B, 3, H, W)."""

    def __init__(self, w: int) -> None:
        super().__init__()
        blocks = [
            Block(8 * w, 4 * w, up=True),
            Block(8 * w, 2 * w, up=True),
            Block(4 * w, 2 * w, up=True),
        ]
        self.layer_list = nn.ModuleList(
            [*(nn.Sequential(block) for block in blocks), nn.Sequential(_conv3x3(2 * w, 3))]
        )

    def forward(self, features: Tensor, skip2: Tensor, skip1: Tensor) -> Tensor:
        three, two, one, last = self.layer_list
        up2 = three(features)  # (B, 4 w, H/4, W/4)
        up1 = two(torch.cat((up2, skip2), dim=1))  # (B, 2 w, H/2, W/2)
        change: Tensor = last(one(torch.cat((up1, skip1), dim=1)))  # (B, 3, H, W)
        return change


class StaticEncoder(nn.Module):
    """x1 (B, 3, H, W) → features (B, 8 w, H/8, W/8), none negative, sum 1 a place."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.flow = nn.Sequential(OrderedDict(layer0=_first(3, w)))
        for i, channels in enumerate((w, 2 * w, 4 * w), start=1):
            self.flow.add_module(f"layer{i}_bn", nn.BatchNorm2d(channels))
            self.flow.add_module(f"layer{i}", nn.Sequential(Block(channels, 2 * channels)))
        self.proj = nn.Sequential(
            OrderedDict(last_layer=_conv3x3(8 * w, 8 * w), last_act=nn.ReLU())
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.proj(self.flow(x)), p=1, dim=1)


class StaticDecoder(nn.Module):
    """Features → x1 again, (B, 3, H, W). No skips."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.flow = nn.Sequential()
        for i, (inputs, outputs) in enumerate(((8, 8), (8, 4), (4, 2)), start=1):
            self.flow.add_module(
                f"de-layer{i}", nn.Sequential(Block(inputs * w, outputs * w, up=True))
            )
        self.flow.add_module("back-layer", nn.Sequential(_conv3x3(2 * w, 3)))

    def forward(self, features: Tensor) -> Tensor:
        frame: Tensor = self.flow(features)
        return frame


class Clusters(nn.Module):
    """K centres of the features of both branches."""

    def __init__(self, config: STDConfig) -> None:
        super().__init__()
        self.sharpness = config.sharpness
        self.cluster_center = nn.Parameter(torch.rand(config.items, config.dim))
        # The authors' checkpoints hold it; nothing reads it.
        self.identity_matrix = nn.Parameter(torch.eye(config.items), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Distance to each centre times its soft assignment: (B, 2 · 8 w, h, w) → (B, K, h, w)."""
        places = (
            F.normalize(features, dim=1).flatten(2).transpose(1, 2).contiguous()
        )  # (B, h w, 16 w)
        distance = torch.stack(
            [torch.cdist(one, self.cluster_center) for one in places]
        )  # (B, h w, K)
        # A softmax in the authors' order of steps: the map's spread is near float32's rounding.
        near = (-self.sharpness * (distance - distance.amin(dim=2, keepdim=True))).exp()
        assigned = near / near.sum(dim=2, keepdim=True)  # (B, h w, K)
        return (distance * assigned).transpose(1, 2).reshape(len(features), -1, *features.shape[2:])


class Dissociated(NamedTuple):
    appearance: Tensor  # x̂1, (B, 3, H, W)
    motion: Tensor  # of x5 - x1, (B, 3, H, W)
    features: Tensor  # of both branches, (B, 16 w, H/8, W/8)

    @property
    def fused(self) -> Tensor:
        """x̂5, (B, 3, H, W) float32."""
        return self.appearance.float() + self.motion.float()


class Losses(NamedTuple):
    """Mean squares, and mean absolute differences of gradients; of x̂1, of x1 + motion, and of both branches' sum."""

    appearance_l2: Tensor
    motion_l2: Tensor
    fused_l2: Tensor
    appearance_grad: Tensor
    motion_grad: Tensor
    fused_grad: Tensor


class STD(Model):
    """The authors' network: three stages of one block."""

    def __init__(self, config: STDConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.motion_encoder_func = MotionEncoder(w)
        self.motion_decoder_func = MotionDecoder(w)
        self.static_encoder_func = StaticEncoder(w)
        self.static_decoder_func = StaticDecoder(w)
        self.cluster = Clusters(config)

    def forward(self, clips: Tensor) -> Dissociated:
        """clips: x1 to x5, (B, 15, H, W) in [0, 1]."""
        static = self.static_encoder_func(clips[:, :3])  # (B, 8 w, H/8, W/8)
        motion, *skips = self.motion_encoder_func(clips[:, :-3])  # (B, 8 w, H/8, W/8)
        both = torch.cat((static, motion), dim=1)  # (B, 16 w, H/8, W/8)
        return Dissociated(
            self.static_decoder_func(static), self.motion_decoder_func(motion, *skips), both
        )

    def cluster_map(self, features: Tensor) -> Tensor:
        """How far each place is from its clusters: (B, 16 w, H/8, W/8) → (B, 1, H, W)."""
        return F.interpolate(
            self.cluster(features.float()).mean(dim=1, keepdim=True), scale_factor=8
        )

    def measure(self, clips: Tensor, items: Tensor) -> Output:  # noqa: ARG002  no camera has clusters of its own
        """PSNR and heatmap of x̂5; the distance is the published score, the mean of fused error times cluster map."""
        found = self(clips)
        with in_float32(clips):
            error = (found.fused - clips[:, -3:]).square()  # (B, 3, H, W)
            weighted = error.mean(dim=1, keepdim=True) * self.cluster_map(
                found.features
            )  # (B, 1, H, W)
            return Output(error, sum_each(weighted) / weighted[0].numel())

    def losses(self, clips: Tensor, found: Dissociated) -> Losses:
        first, last = clips[:, :3], clips[:, -3:]
        made = (
            (found.appearance.float(), first),
            (found.motion.float() + first, last),
            (found.fused, last),
        )
        return Losses(
            *(F.mse_loss(*pair) for pair in made), *(gradient_loss(*pair) for pair in made)
        )

    def training_step(
        self, clips: Tensor, items: Tensor, progress: TrainingProgress = SINGLE_EPOCH
    ) -> TrainingStep:
        """Both branches learn apart; when the clusters have started, the encoders are drawn to them."""
        found = self(clips)
        losses = self.losses(clips, found)
        loss = (
            losses.appearance_l2 + losses.motion_l2 + self.config.loss_gradient * losses.motion_grad
        )
        if progress.is_past(self.config.clusters_from):
            loss = loss + self.config.loss_cluster * self.cluster(found.features.float()).mean()
        return TrainingStep(loss, losses.fused_l2.detach(), items)

    def begin_epoch(self, progress: TrainingProgress, clips: Iterable[Tensor]) -> None:
        if progress.begins(self.config.clusters_from):
            self.make_ready(clips)

    def is_ready(self, progress: TrainingProgress) -> bool:
        """Before that the centres are random."""
        return progress.is_past(self.config.clusters_from)

    def make_ready(self, clips: Iterable[Tensor]) -> None:
        """Deep k-means: the clusters start as k-means finds them in the features of the branches as trained so far."""
        self.eval()  # else the features would change the batch norms on their way
        places: list[Tensor] = []
        with torch.no_grad():
            for batch in clips:
                features = F.normalize(self(batch).features.float(), dim=1)  # (B, 16 w, h, w)
                places.append(features.movedim(1, -1).flatten(0, 2))  # (B h w, 16 w)
                if sum(map(len, places)) >= POINTS:
                    break
            self.cluster.cluster_center.copy_(kmeans(torch.cat(places), self.config.items))
        self.train()


def gradient_loss(made: Tensor, actual: Tensor) -> Tensor:
    """Mean absolute difference of the sizes of the gradients to the right and down; 0 at the far edges. Scalar."""
    across = made.diff(dim=3).abs() - actual.diff(dim=3).abs()  # (B, C, H, W - 1)
    down = made.diff(dim=2).abs() - actual.diff(dim=2).abs()  # (B, C, H - 1, W)
    return (across.abs().sum() + down.abs().sum()) / made.numel()


def _first(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv3x3(inputs, outputs), nn.ReLU())


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv3x3(inputs, outputs, stride=2))


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.PixelShuffle(2), _conv3x3(inputs // 4, outputs))
