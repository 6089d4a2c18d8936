"""The inference stage: frames in, scores and heatmaps out. The only stage that needs torch.

`worker.py` runs it. A camera is a `CameraLine`, whose parts each own one piece of its state. The
room talks to Redis through `storage` alone, to the network through `models` alone; no other stage
may import it.
"""
