"""STD: appearance and motion apart, both held to clusters of their usual features.

One autoencoder gives the first frame, one the change up to the last. Y. Chang et al., "Video
Anomaly Detection with Spatio-Temporal Dissociation", Pattern Recognition 2022, after "Clustering
Driven Deep Autoencoder for Video Anomaly Detection", ECCV 2020. Parameter names are those of the
authors' code.

Departures of the authors' code from the paper, followed here:
- the motion branch takes frames 1 to 4 and gives x5 - x1, the appearance branch reconstructs x1:
  their sum predicts x5;
- the attention's softmax runs over places of a pooled map, and exp of it scales the features;
- the anomaly's distance is averaged over the clusters, not summed: smaller by K.
Departures from the code:
- one optimiser for all losses, and the clusters pull at whole encoders, as in the paper; the code
  lets them pull at the last layers alone, at a rate of their own;
- k-means starts on features of unit length, the ones that are then compared with the clusters; the
  code starts on them before they are normalised;
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

from lookout.models.base import Config, Model, Output, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.kmeans import MAX_POINTS, kmeans
from lookout.models.scoring.metrics import sum_each

FRAMES = 5


@dataclass(frozen=True, slots=True)
class STDConfig(Config):
    """Configuration; the published numbers are the defaults."""

    width: int = 32  # w: channels of the first level; the others have 2, 4 and 8 times that
    items: int = 32  # K, clusters
    sharpness: float = 25.0  # of the soft assignment
    loss_gradient: float = 0.01  # of the motion branch
    loss_cluster: float = 0.1
    clusters_from: float = 0.5  # share of the epochs before the clusters start
    fusion_weight: float = 0.0  # the score is the fused error times the cluster map alone

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.width, self.items - 1) < 1:
            raise ValueError("STD needs width >= 1 and items >= 2")
        if not 0 <= self.clusters_from < 1:
            raise ValueError("clusters_from must lie in [0, 1)")
        self.check(multiple_px=16)  # the attention pools to a sixteenth

    @property
    def dim(self) -> int:
        """Numbers of a cluster's centre: the features of both branches."""
        return 16 * self.width

    @property
    def input_spec(self) -> InputSpec:
        """Five frames; the score is that of x5, which the branches predict together."""
        return InputSpec(FRAMES, scored=FRAMES - 1, memory="fixed", black=0.0)


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """(B, inputs, h, w) → (B, outputs, h / stride, w / stride), without bias."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def double(inputs: int, outputs: int) -> nn.Sequential:
    """(B, inputs, h, w) → (B, outputs, 2 h, 2 w)."""
    return nn.Sequential(nn.PixelShuffle(2), conv3x3(inputs // 4, outputs))


class Block(nn.Module):
    """Two convolutions beside one, without bias or BN: (B, inputs, h, w) → (B, outputs, h/2, w/2).

    up: (B, outputs, 2 h, 2 w) instead.
    """

    def __init__(self, inputs: int, outputs: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv1: nn.Module
        if up:
            self.conv1 = double(inputs, outputs)
            self.conv2 = conv3x3(outputs, outputs)
            self.downsample = double(inputs, outputs)
        else:
            self.conv1 = conv3x3(inputs, outputs, stride=2)
            self.conv2 = conv3x3(outputs, outputs)
            self.downsample = nn.Sequential(conv3x3(inputs, outputs, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.conv2(F.leaky_relu(self.conv1(x)))  # (B, outputs, h', w')
        return F.leaky_relu(inner + self.downsample(x))


class VarianceAttention(nn.Module):
    """Gives weight to places whose features vary, where something moves: (B, C, h, w)."""

    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.flow = nn.Sequential(
            OrderedDict(proj_conv=nn.Conv2d(channels, channels, 1, bias=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        projected = F.avg_pool2d(self.flow(x), self.pool)  # (B, C, h/p, w/p)
        deviation = projected - projected.mean(dim=1, keepdim=True)  # (B, C, h/p, w/p)
        variance = deviation.square().sum(dim=1, keepdim=True)  # (B, 1, h/p, w/p)
        attention = variance.flatten(2).softmax(dim=2).view_as(variance)  # (B, 1, h/p, w/p)
        return F.interpolate(attention, scale_factor=self.pool).exp() * x


class MotionEncoder(nn.Module):
    """x1 to x4 (B, 12, H, W) → features (B, 8 w, H/8, W/8) and two skips.

    At each place the features' absolute values add up to 1.
    """

    def __init__(self, w: int) -> None:
        super().__init__()
        levels: list[nn.Module] = [nn.Sequential(conv3x3(3 * (FRAMES - 1), w), nn.ReLU())]
        for i, channels in enumerate((w, 2 * w, 4 * w)):
            level = nn.Sequential()
            level.add_module(f"feature_ex{i}", nn.Sequential(Block(channels, 2 * channels)))
            level.add_module(f"att_layer{i + 1}", VarianceAttention(2 * channels, 2 ** (3 - i)))
            levels.append(level)
        levels[-1].add_module("last_layer", conv3x3(8 * w, 8 * w))
        self.layer_list = nn.ModuleList(levels)

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
            [*(nn.Sequential(block) for block in blocks), nn.Sequential(conv3x3(2 * w, 3))]
        )

    def forward(self, features: Tensor, skip2: Tensor, skip1: Tensor) -> Tensor:
        three, two, one, last = self.layer_list
        up2 = three(features)  # (B, 4 w, H/4, W/4)
        up1 = two(torch.cat((up2, skip2), dim=1))  # (B, 2 w, H/2, W/2)
        change: Tensor = last(one(torch.cat((up1, skip1), dim=1)))  # (B, 3, H, W)
        return change


class StaticEncoder(nn.Module):
    """x1 (B, 3, H, W) → features (B, 8 w, H/8, W/8), none negative; at each place they sum to 1."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.flow = nn.Sequential(OrderedDict(layer0=nn.Sequential(conv3x3(3, w), nn.ReLU())))
        for i, channels in enumerate((w, 2 * w, 4 * w), start=1):
            self.flow.add_module(f"layer{i}_bn", nn.BatchNorm2d(channels))
            self.flow.add_module(f"layer{i}", nn.Sequential(Block(channels, 2 * channels)))
        self.proj = nn.Sequential(OrderedDict(last_layer=conv3x3(8 * w, 8 * w), last_act=nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.proj(self.flow(x)), p=1, dim=1)


class StaticDecoder(nn.Module):
    """Features → x1 again, (B, 3, H, W). No skips."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.flow = nn.Sequential()
        for i, (inputs, outputs) in enumerate(((8, 8), (8, 4), (4, 2)), start=1):
            block = Block(inputs * w, outputs * w, up=True)
            self.flow.add_module(f"de-layer{i}", nn.Sequential(block))
        self.flow.add_module("back-layer", nn.Sequential(conv3x3(2 * w, 3)))

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
        """Distance to each centre times its soft assignment: (B, 16 w, h, w) → (B, K, h, w)."""
        unit = F.normalize(features, dim=1)  # (B, 16 w, h, w)
        places = unit.flatten(2).transpose(1, 2).contiguous()  # (B, h w, 16 w)
        distances = [torch.cdist(one, self.cluster_center) for one in places]
        distance = torch.stack(distances)  # (B, h w, K)
        # A softmax in the authors' order of steps: the map's spread is near float32's rounding.
        near = (-self.sharpness * (distance - distance.amin(dim=2, keepdim=True))).exp()
        assigned = near / near.sum(dim=2, keepdim=True)  # (B, h w, K)
        return (distance * assigned).transpose(1, 2).reshape(len(features), -1, *features.shape[2:])


class Dissociated(NamedTuple):
    """Output of the network."""

    appearance: Tensor  # x̂1, (B, 3, H, W)
    motion: Tensor  # of x5 - x1, (B, 3, H, W)
    features: Tensor  # of both branches, (B, 16 w, H/8, W/8)

    @property
    def fused(self) -> Tensor:
        """x̂5, (B, 3, H, W) float32."""
        return self.appearance.float() + self.motion.float()


class STDLosses(NamedTuple):
    """Errors of x̂1, of x1 + motion and of x̂5, scalars."""

    appearance_l2: Tensor  # mean square
    motion_l2: Tensor
    fused_l2: Tensor
    appearance_grad: Tensor  # `gradient_loss`
    motion_grad: Tensor
    fused_grad: Tensor


class STD(Model):
    """The authors' network: three levels of one block."""

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
        features = torch.cat((static, motion), dim=1)  # (B, 16 w, H/8, W/8)
        appearance = self.static_decoder_func(static)  # (B, 3, H, W)
        return Dissociated(appearance, self.motion_decoder_func(motion, *skips), features)

    def cluster_map(self, features: Tensor) -> Tensor:
        """Distance of each place to its clusters: (B, 16 w, H/8, W/8) → (B, 1, H, W)."""
        distance = self.cluster(features.float()).mean(dim=1, keepdim=True)  # (B, 1, H/8, W/8)
        return F.interpolate(distance, scale_factor=8)

    def measure(self, clips: Tensor) -> Output:
        """The map is the error of x̂5; the distance is the published score.

        That score is the mean of the error times the cluster map.
        """
        dissociated = self(clips)
        with in_float32(clips):
            error = (dissociated.fused - clips[:, -3:]).square()  # (B, 3, H, W)
            clusters = self.cluster_map(dissociated.features)  # (B, 1, H, W)
            weighted = error.mean(dim=1, keepdim=True) * clusters  # (B, 1, H, W)
            distance = sum_each(weighted) / weighted[0].numel()
            return Output(error, {"distance": distance}, distances=weighted)

    def losses(self, clips: Tensor, dissociated: Dissociated) -> STDLosses:
        """Compare both branches and their sum with clips (B, 15, H, W)."""
        x1 = clips[:, :3]
        x5 = clips[:, -3:]
        pairs = (
            (dissociated.appearance.float(), x1),
            (dissociated.motion.float() + x1, x5),
            (dissociated.fused, x5),
        )
        squares = [F.mse_loss(*pair) for pair in pairs]
        gradients = [gradient_loss(*pair) for pair in pairs]
        return STDLosses(*squares, *gradients)

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """Train the branches apart; once the clusters have started, draw the encoders to them."""
        dissociated = self(batch.clips)
        losses = self.losses(batch.clips, dissociated)
        loss = (
            losses.appearance_l2 + losses.motion_l2 + self.config.loss_gradient * losses.motion_grad
        )
        if batch.progress.is_past(self.ready_after):
            distance = self.cluster(dissociated.features.float()).mean()
            loss = loss + self.config.loss_cluster * distance
        return TrainingStep(loss, losses.fused_l2.detach())

    @property
    def ready_after(self) -> float:
        """Before this share of the epochs the centres are random."""
        return self.config.clusters_from

    def make_ready(self, clips: Iterable[Tensor]) -> None:
        """Start the clusters by k-means in the features of the branches as trained so far."""
        self.eval()  # the features must not change the batch norms on their way
        points: list[Tensor] = []
        with torch.no_grad():
            for batch in clips:
                features = F.normalize(self(batch).features.float(), dim=1)  # (B, 16 w, h, w)
                points.append(features.movedim(1, -1).flatten(0, 2))  # (B h w, 16 w)
                if sum(map(len, points)) >= MAX_POINTS:
                    break
            self.cluster.cluster_center.copy_(kmeans(torch.cat(points), self.config.items))
        self.train()


def gradient_loss(frame: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the gradients' sizes, to the right and down; scalar.

    frame, target: (B, C, H, W). Gradients across the far edges count as 0.
    """
    across = frame.diff(dim=3).abs() - target.diff(dim=3).abs()  # (B, C, H, W - 1)
    down = frame.diff(dim=2).abs() - target.diff(dim=2).abs()  # (B, C, H - 1, W)
    return (across.abs().sum() + down.abs().sum()) / frame.numel()
