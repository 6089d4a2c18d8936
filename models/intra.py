"""InTra: a transformer that inpaints a covered patch from the patches of a window around it.

J. Pirnay, K. Chai, "Inpainting Transformer for Anomaly Detection", ICIAP 2022. The authors
published no code; layers, names of parameters and numbers are those of public re-implementations.

Where these depart from the paper, the paper is followed:
- the long residual connections pair the first block with the last, the second with the last but
  one, and so on; one code is off by one, so that a block in the middle gets its own input twice;
- a window is placed by the paper's rule with the covered patch in its middle; one code takes a rule
  that counts from 1 with numbers from 0, so that the patch is off the middle;
- MSGMS and SSIM of the loss are those of patches as they are seen; one code mixes up rows, columns
  and channels there;
- the loss weighs MSGMS and SSIM by 0.01, and the map is compared with that of normal pictures.

The position of a patch is its place in the whole grid, or with `local_positions` that in its
window: the codes have one or the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models.base import Config, LiveModel, Output, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.similarity import mean_filtered, msgms, msgms_loss, ssim_loss

SCALES = 3
"""Of MSGMS, each colour channel for itself."""

MEAN_FILTER_PX = 21
"""Side of the map's mean filter."""

DROPOUT = 0.1
"""Within the MLP, in training."""

WINDOWS = 16
"""Number of windows of a picture in a training step."""

CHANGED = 6 / 255
"""Mean change of a patch since it was inpainted from which on it is inpainted again, live."""

REFRESH = 16
"""Number of frames in which every patch is inpainted once, live, whether it changed or not."""

LIVE_SHARE = 4
"""A live frame inpaints at most a quarter of its patches, but for the first of a session."""


@dataclass(frozen=True, slots=True)
class InTraConfig(Config):
    """Configuration; the published numbers are the defaults."""

    width: int = 512  # D: length of a token
    blocks: int = 13
    heads: int = 8
    patch_px: int = 16  # K
    window: int = 7  # L: a window has L x L patches
    local_positions: int = 0  # 1: places in the window; 0: in the whole grid
    loss_msgms: float = 0.01
    loss_ssim: float = 0.01
    fusion_weight: float = 0.0  # the score is the map's maximum alone

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.width, self.blocks, self.heads) < 1 or self.width % (2 * self.heads):
            raise ValueError("InTra needs blocks >= 1 and a width that is a multiple of 2 heads")
        if self.patch_px < 4 or self.patch_px % 4:
            raise ValueError("InTra halves a patch twice: patch_px must be a multiple of 4")
        if self.window < 3 or self.window % 2 == 0:
            raise ValueError("InTra's window must be an odd number of patches, 3 or more")
        if self.local_positions not in (0, 1):
            raise ValueError("local_positions must be 0 or 1")
        self.check(multiple_px=self.patch_px)
        least_px = self.window * self.patch_px
        if min(self.height_px, self.width_px) < least_px:
            raise ValueError(
                f"InTra's windows are {least_px} px wide: height and width must be that or more"
            )

    @property
    def input_spec(self) -> InputSpec:
        """One frame in [0, 1]; the distance is the maximum of its map."""
        return InputSpec(frames=1, scored=0, black=0.0)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.height_px // self.patch_px, self.width_px // self.patch_px


class InTra(LiveModel):
    """The transformer, its windows, and the map."""

    normal_difference: Tensor  # (1, 1, H, W): mean difference of normal pictures

    def __init__(self, config: InTraConfig) -> None:
        super().__init__()
        self.config = config
        rows, columns = config.grid
        pixels = 3 * config.patch_px**2
        d = config.width
        places = rows * columns
        if config.local_positions:
            places = config.window**2
        self.x_inpaint = nn.Parameter(torch.randn(1, 1, d) * d**-0.5)
        self.pos_embedding = nn.Parameter(torch.randn(1, places, d) * d**-0.5)
        self.lin_proj = nn.Linear(pixels, d)
        self.encoder = WindowEncoder(d, config.blocks, config.heads)
        self.generator = nn.Sequential(OrderedDict(proj=nn.Linear(d, pixels)))
        normal = torch.zeros(1, 1, config.height_px, config.width_px)
        self.register_buffer("normal_difference", normal)

    def forward(self, patches: Tensor, places: Tensor) -> Tensor:
        """Inpaint the first patch of each window, which is not looked at: → (N, 3 K K).

        patches: (N, L L, 3 K K) in [0, 1]. places: (N, L L) int64, see `windows`.
        """
        restored: Tensor = self.generator(self.encoder(self.tokens(patches, places)).mean(dim=1))
        return restored

    def tokens(self, patches: Tensor, places: Tensor) -> Tensor:
        """Return the sequence that the encoder takes, (N, L L, D); arguments as in `forward`."""
        seen = self.lin_proj(patches[:, 1:])  # (N, L L - 1, D)
        covered = self.x_inpaint.expand(len(patches), -1, -1).to(seen.dtype)
        return torch.cat((covered, seen), dim=1) + self.pos_embedding[0, places]

    def inpaint(self, patches: Tensor, grid: tuple[int, int], chosen: Tensor) -> Tensor:
        """Inpaint some patches of one picture, each from its own window: → (N, 3 K K).

        patches: (G, 3 K K) in [0, 1], row by row. grid: rows and columns. chosen: (N,) int64.
        """
        all_members, all_places = windows(grid, self.config.window)
        members = all_members.to(patches.device)[chosen]  # (N, L L)
        places = members // grid[1] * self.config.grid[1] + members % grid[1]  # in the whole grid
        if self.config.local_positions:
            places = all_places.to(patches.device)[chosen]
        restored: Tensor = self(patches[members], places)
        return restored

    def inpainted(self, x: Tensor) -> Tensor:
        """Return pictures put together from inpainted patches, (B, 3, H, W) → the same, float32."""
        k = self.config.patch_px
        grid = (x.shape[2] // k, x.shape[3] // k)
        every = torch.arange(grid[0] * grid[1], device=x.device)
        # One picture at a time: the order of sums would depend on the batch.
        restored = [self.inpaint(one, grid, every).float() for one in patches_of(x, k)]
        return pictures_of(torch.stack(restored), grid, k)

    def measure(self, clips: Tensor) -> Output:
        """The heat is the root of the map (d - d̄)², d̄ of normal pictures."""
        return self.output(clips, self.inpainted(clips))

    def measure_live(
        self, clips: Tensor, numbers: Sequence[int], carried: Sequence[Tensor | None]
    ) -> Output:
        """Inpaint the patches that changed, and a sixteenth of the others; keep what was inpainted.

        carried: x̂ of each patch and the pixels that it stood for, (6, H, W) uint8, or None for the
        first frame of a session, in which all are inpainted. Patches beyond a quarter of the grid,
        those that changed least, wait. A kept patch is rounded to 8 bits.
        """
        states = [
            self.refreshed(clip, number, state)
            for clip, number, state in zip(clips, numbers, carried, strict=True)
        ]
        x_hat = torch.stack([state[:3] for state in states]).float() / 255
        output = self.output(clips, x_hat)
        return Output(output.map, output.parts, heat=output.heat, carried=states)

    def refreshed(self, x: Tensor, number: int, state: Tensor | None) -> Tensor:
        """Return the state after a frame x, (3, H, W) in [0, 1]; see `measure_live`."""
        k = self.config.patch_px
        grid = self.config.grid
        patches = patches_of(x[None], k)[0]  # (G, 3 K K)
        chosen = torch.arange(len(patches), device=x.device)
        if state is None or state.shape[1:] != x.shape[1:]:
            kept = torch.zeros_like(patches)
            seen = torch.zeros_like(patches)
        else:
            kept, seen = patches_of(state.view(2, 3, *x.shape[1:]).float() / 255, k)
            change = (patches - seen).abs().mean(dim=1)  # (G,)
            change[chosen % REFRESH == number % REFRESH] = torch.inf
            most = change.topk(-(-len(patches) // LIVE_SHARE))
            chosen = most.indices[most.values > CHANGED]
        kept[chosen] = self.inpaint(patches, grid, chosen).float()
        seen[chosen] = patches[chosen]
        both = pictures_of(torch.stack((kept, seen)), grid, k)  # (2, 3, H, W)
        return (both.clamp(0, 1) * 255).round().to(torch.uint8).flatten(0, 1)

    def output(self, x: Tensor, x_hat: Tensor) -> Output:
        """Return what is measured of pictures and their inpainted ones, (B, 3, H, W) each."""
        with in_float32(x):
            heat = (difference(x, x_hat) - self.normal_difference).abs()  # (B, 1, H, W)
            score = heat.square().amax(dim=(1, 2, 3))
            return Output((x_hat - x).square(), {"distance": score}, heat=heat)

    def learn_normal(self, clips: Iterable[Tensor]) -> None:
        """Store the mean difference of normal pictures."""
        sizes = []
        for batch in clips:
            x_hat = self.inpainted(batch)
            with in_float32(batch):
                sizes.append(difference(batch, x_hat))
        self.normal_difference.copy_(torch.cat(sizes).mean(dim=0, keepdim=True))

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """L = L2 + 0.01 L_MSGMS + 0.01 L_SSIM of some patches of each picture, drawn anew."""
        x = batch.clips
        k = self.config.patch_px
        grid = (x.shape[2] // k, x.shape[3] // k)
        patches = patches_of(x, k)  # (B, G, 3 K K)
        drawn = torch.randint(patches.shape[1], (len(x), WINDOWS)).to(x.device)
        restored = torch.cat(
            [self.inpaint(one, grid, some) for one, some in zip(patches, drawn, strict=True)]
        )
        covered = torch.cat([one[some] for one, some in zip(patches, drawn, strict=True)])
        with in_float32(x):
            l2, structure = self.losses(as_pictures(restored.float(), k), as_pictures(covered, k))
        return TrainingStep(l2 + structure, l2.detach())

    def losses(self, restored: Tensor, covered: Tensor) -> tuple[Tensor, Tensor]:
        """Return L2, and the weighted sum of the losses of structure; (N, 3, K, K) in [0, 1]."""
        gradients = msgms_loss(by_channel(covered), by_channel(restored), SCALES)
        windowed = ssim_loss(covered, restored, span=1.0)
        structure = self.config.loss_msgms * gradients + self.config.loss_ssim * windowed
        return F.mse_loss(restored, covered), structure


class WindowEncoder(nn.Module):
    """Blocks with long residual connections, (N, L L, D) → the same shape."""

    def __init__(self, d: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerBlock(d, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(d)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, L L, D)."""
        outputs: list[Tensor] = []
        for number, block in enumerate(self.layers):
            early = partner(number, len(self.layers))
            if early is not None:
                x = x + outputs[early]
            x = block(x)
            outputs.append(x)
        normed: Tensor = self.norm(x)
        return normed


class TransformerBlock(nn.Module):
    """x + attention(norm x), then x + MLP(norm x): (N, L L, D) → the same shape."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(d, heads)
        self.feed_forward = nn.Sequential(
            OrderedDict(
                w_1=nn.Linear(d, 4 * d), gelu=nn.GELU(), dropout=nn.Dropout(DROPOUT),
                w_2=nn.Linear(4 * d, d),
            )
        )  # fmt: skip
        norms = (nn.Sequential(OrderedDict(norm=nn.LayerNorm(d))) for _ in range(2))
        self.sublayer = nn.ModuleList(norms)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, L L, D)."""
        x = x + self.self_attn(self.sublayer[0](x))
        added: Tensor = x + self.feed_forward(self.sublayer[1](x))
        return added


class SelfAttention(nn.Module):
    """Self-attention of several heads, whose queries and keys are MLPs of half the length."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.MLP_q = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d // 2))
        self.MLP_k = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d // 2))
        self.linear_v = nn.Linear(d, d)
        self.linear = nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, T, D) → the same shape."""
        values = self.by_head(self.linear_v(x))
        attended = self.weights(x) @ values  # (N, heads, T, D / heads)
        mixed: Tensor = self.linear(attended.transpose(1, 2).flatten(2))
        return mixed

    def weights(self, x: Tensor) -> Tensor:
        """Return how much each token attends to each, (N, T, D) → (N, heads, T, T)."""
        queries = self.by_head(self.MLP_q(x))
        keys = self.by_head(self.MLP_k(x))
        weights: Tensor = (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(dim=-1)
        return weights

    def by_head(self, x: Tensor) -> Tensor:
        """Return each head's part of the tokens, (N, T, d) → (N, heads, T, d / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def partner(block: int, blocks: int) -> int | None:
    """Return the early block whose output is added to the input of a late one; None: to no other.

    The last block has the first as its partner; the one in the middle has none.
    """
    if block <= blocks / 2:
        return None
    return blocks - 1 - block


def window_starts(patches: int, window: int) -> list[int]:
    """Return, along one side, the first patch of each patch's window: centred, within the grid."""
    return [min(max(0, patch - window // 2), patches - window) for patch in range(patches)]


def windows(grid: tuple[int, int], window: int) -> tuple[Tensor, Tensor]:
    """Return the patches of each patch's window, and their places in it: (G, L L) int64 each.

    The covered patch comes first, then the others row by row. grid: rows and columns.
    """
    rows, columns = grid
    members: list[list[int]] = []
    places: list[list[int]] = []
    for row, top in enumerate(window_starts(rows, window)):
        for column, left in enumerate(window_starts(columns, window)):
            covered = (row - top) * window + column - left
            order = [covered, *(place for place in range(window**2) if place != covered)]
            places.append(order)
            members.append(
                [(top + place // window) * columns + left + place % window for place in order]
            )
    return torch.tensor(members), torch.tensor(places)


def patches_of(x: Tensor, k: int) -> Tensor:
    """Cut pictures into patches, each as row, column, channel: (B, 3, H, W) → (B, G, 3 K K)."""
    rows = x.shape[2] // k
    cells = x.reshape(len(x), 3, rows, k, -1, k)
    return cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def pictures_of(patches: Tensor, grid: tuple[int, int], k: int) -> Tensor:
    """Put pictures together from all their patches, (B, G, 3 K K) → (B, 3, H, W)."""
    cells = patches.reshape(len(patches), *grid, k, k, 3)
    return cells.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def as_pictures(patches: Tensor, k: int) -> Tensor:
    """Return patches as small pictures, (N, 3 K K) → (N, 3, K, K)."""
    return patches.reshape(-1, k, k, 3).permute(0, 3, 1, 2)


def by_channel(x: Tensor) -> Tensor:
    """Return each colour channel as a picture of its own, (B, 3, H, W) → (3 B, 1, H, W)."""
    return x.flatten(0, 1)[:, None]


def difference(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return d = (1 - MSGMS) * f, f a mean filter, (B, 3, H, W) twice → (B, 1, H, W)."""
    alike = msgms(by_channel(x), by_channel(x_hat), SCALES).view(x.shape)
    return mean_filtered(1 - alike.mean(dim=1, keepdim=True), MEAN_FILTER_PX)
