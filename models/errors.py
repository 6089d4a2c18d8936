"""Errors of footage, checkpoints and training; each message is one line for the user.

ModelsError
├── VideoError         a file or stream is no video, or cannot be decoded further
│   ├── NoPictureError packets come, and no picture
│   └── CutOffError    a file ends before what it announces, after its good pictures
├── CheckpointError    damaged, foreign, of an unknown model, or of scores that are no numbers
├── DataError          a training, test or label folder is not as it should be
├── TrainingError      a training cannot go on
└── DeviceError        no such device here, or it cannot do what was asked
"""


class ModelsError(Exception):
    """Anything the mathematics can explain in one line."""


class VideoError(ModelsError):
    """A file or stream is no video, or cannot be decoded further."""


class NoPictureError(VideoError):
    """Packets come, and no picture: no keyframe does, or nothing in them can be decoded."""


class CutOffError(VideoError):
    """A file ends before what it announces; its pictures came before this."""


class CheckpointError(ModelsError):
    """A checkpoint is damaged, foreign, or of an unknown model; or its scores are no numbers."""


class DataError(ModelsError):
    """A training, test or label folder is not as it should be."""


class TrainingError(ModelsError):
    """A training cannot go on: its loss is no number any more."""


class DeviceError(ModelsError):
    """There is no such device here, or it cannot do what was asked."""
