"""Image mathematics: tensors, heatmaps, scene signatures."""
