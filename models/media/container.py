"""Open a recording, whatever kind it is of, and choose its video track.

One list says which kinds are taken: for folders of clips, single recordings and cameras alike.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.logging
from av.stream import Disposition

from lookout.models.arrays import Pixels
from lookout.models.errors import VideoError
from lookout.models.media.ending import opens_cut_off

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,dhav,mxf,nut,ivf,gif,"
    "yuv4mpegpipe,dv,h264,hevc,obu,mpegvideo,m4v,mjpeg,apng"
)
"""libav's names of what is taken: containers that hold their own frames, and raw video. A playlist
(hls, dash, concat, sdp) could name any other file or host, and a pattern of images any other."""

TAKEN = (
    "mp4, mov, 3gp, mkv, webm, avi, ts, mpg, flv, ogv, wmv, asf, dav, mxf, nut, ivf, gif, apng, "
    "y4m, dv, and raw H.264, H.265, AV1, MPEG and MJPEG"
)
"""The same in words, for people."""

NAMED = re.compile(
    r"(?i).+\.(mp4|m4v|mov|3gp|3g2|mkv|webm|avi|ts|mts|m2ts|mpe?g|vob|m2v|flv|f4v|ogv|wmv|asf|dav"
    r"|mxf|nut|ivf|y4m|dv|h264|264|h265|265|hevc|obu|mjpe?g)"
)
"""Names that promise a recording. A file of another name is one by its content."""

RAW_MJPEG = re.compile(r"(?i).+\.mjpe?g")
LogLine = tuple[int, str, str]
"""Level, name of libav's part, text."""

OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
USUAL_FPS = 25.0  # of a stream that says no frame rate, or nonsense
MAX_FPS = 1000.0

LISTS = frozenset({"hls", "dash", "concat", "sdp", "webm_dash_manifest", "rtsp"})
NO_TRACK = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
_CROPPING = re.compile(r"(?m)^ +Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$")
_CODEC = re.compile(r"\(Video: (?:none \()?([^,(/)]+)")


def reason(error: Exception) -> str:
    """Return libav's message without the address that it is about."""
    if isinstance(error, av.error.FFmpegError):
        return str(error.strerror or type(error).__name__)
    return str(error) or type(error).__name__


def open_video(path: Path) -> av.container.InputContainer:
    """Open a video file; close it, or use it as a context manager.

    Raises VideoError where it is missing, no video, or of a kind that is not taken.
    """
    # libav takes raw MJPEG for one JPEG.
    kind = "mjpeg" if RAW_MJPEG.fullmatch(path.name) else None
    try:
        return av.open(str(path), format=kind, options=OPTIONS)
    except av.error.ArgumentError as error:
        raise VideoError(
            f"{path.name} cannot be opened as a video: {refusal(path) or reason(error)}"
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"{path.name} cannot be opened as a video: {reason(error)}{cut_note(path)}"
        ) from error


def refusal(path: Path) -> str | None:
    """Return why a file of a kind that is not taken is refused; None where libav does not say."""
    lines = libav_log(path)
    kind = next((name for _, name, line in lines if line.startswith("Format not on")), None)
    if kind is None:
        return None
    if kind in LISTS:
        return f"it is a list of other files or addresses ({kind}), which is not followed"
    if is_animated_webp(path):
        return (
            "it is an animated WebP, which libav does not decode; convert it: "
            f"magick {path.name} {path.stem}.gif"
        )
    if kind == "image2" or kind.endswith("_pipe"):
        return "it is one picture; a clip of pictures is a folder of them"
    return (
        f"recordings of its kind ({kind}) are not taken; convert it: "
        f"ffmpeg -i {path.name} {path.stem}.mkv"
    )


def is_animated_webp(path: Path) -> bool:
    """Return whether a file is a WebP of several pictures, by the flags of its header."""
    with path.open("rb") as file:
        head = file.read(21)
    is_extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    return is_extended and len(head) == 21 and bool(head[20] & 0b10)


def libav_log(path: Path) -> list[LogLine]:
    """Return what libav logs while it opens a file."""
    with captured_log(av.logging.WARNING) as lines:
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            av.open(str(path), options=OPTIONS).close()
        return lines


@contextlib.contextmanager
def captured_log(level: int) -> Iterator[list[LogLine]]:
    """Yield a list of what libav logs in this thread at `level` or above; nothing is passed on.

    A line may hold an address.
    """
    level_before = av.logging.get_level()
    skip_repeated = av.logging.get_skip_repeated()
    av.logging.set_level(level)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(level_before)
        av.logging.set_skip_repeated(skip_repeated)


def video_stream(container: av.container.InputContainer) -> Any:
    """Return the video track: the default one of several, else the first.

    A cover picture is no track. Raises VideoError where there is none that can be decoded.
    """
    tracks = [stream for stream in container.streams.video if not stream.disposition & NO_TRACK]
    if not tracks:
        raise VideoError(f"there is no video in it{file_note(container)}")
    decodable = [stream for stream in tracks if stream.codec_context is not None]
    if not decodable:
        notes = codec_note(container) + file_note(container)
        raise VideoError(f"its video is of a kind that cannot be decoded here{notes}")
    defaults = [stream for stream in decodable if stream.disposition & Disposition.default]
    return (defaults or decodable)[0]


def shown_part(container: av.container.InputContainer, stream: Any) -> Callable[[Pixels], Pixels]:
    """Return a function that cuts from a decoded picture of a track the part that is to be shown.

    Matroska (PixelCrop) and mov (clap) may say which part; PyAV has it in a text alone. A cut that
    leaves nothing is none.
    """
    if container.format.name == "rtsp":  # no container
        return lambda rgb: rgb
    with captured_log(av.logging.INFO):
        text: str = container.dumps_format()  # type: ignore[attr-defined]
    own_text = text.partition(f"Stream #0:{stream.index}")[2]
    found = _CROPPING.search(own_text.partition("  Stream #")[0])
    left, right, top, bottom = map(int, found.groups()) if found else (0, 0, 0, 0)

    def cut(rgb: Pixels) -> Pixels:
        height_px, width_px, _ = rgb.shape
        part = rgb[top : max(0, height_px - bottom), left : max(0, width_px - right)]
        return part if part.size else rgb

    return cut


def cut_note(path: Path) -> str:
    """Return that a file which cannot be used is cut off; nothing where it is not, or no file."""
    return "; it is cut off" if path.is_file() and opens_cut_off(path) else ""


def file_note(container: av.container.InputContainer) -> str:
    """Return `cut_note` of a container's file; nothing for a stream."""
    return "" if container.format.name == "rtsp" else cut_note(Path(container.name))


def codec_note(container: av.container.InputContainer) -> str:
    """Return the name of a file's unknown video codec in brackets; nothing where none is known."""
    if container.format.name == "rtsp":
        return ""
    found = (_CODEC.search(line) for _, _, line in libav_log(Path(container.name)))
    return next((f" ({match[1].strip()})" for match in found if match), "")


def usual_step_s(container: av.container.InputContainer) -> float:
    """Return the usual distance of two frames in seconds, as the container has it.

    Raises VideoError as `video_stream` does.
    """
    stream = video_stream(container)
    fps = float(stream.average_rate or stream.guessed_rate or 0)
    return 1 / fps if 0 < fps <= MAX_FPS else 1 / USUAL_FPS
