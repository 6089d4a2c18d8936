"""A generated scene: the demo's camera, and the normal footage a model for it is trained on."""
