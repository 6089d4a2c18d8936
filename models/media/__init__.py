"""Media: video files, decoded pictures and files that are written whole. No torch, no model.

- container: a recording opened, the list of what is taken, its video track
- ending: whether a recording was cut off
- decode: packets of a file or stream to pictures, damage passed over
- packet_ring: the newest packets of a stream
- clip_writer: packets to a clip, without encoding anew, and to a still picture
- clip_reader: a video file as a clip in memory, and the facts of its header
- timeline: time stamps to seconds, and the frames that are kept at a frame rate
- preprocess: a picture as a model takes it, and frames put together to a clip
- atomic_file: the one way to write a file
"""
