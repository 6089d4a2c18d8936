"""`lookout demo` and its generated scene, which is also the footage of the shipped model.

`run.py` starts the service and adds the camera; `scene.py` is the entry to the pictures. Nothing
else in the service may import this room.
"""
