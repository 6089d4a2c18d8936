"""The inference stage: frames in, scores and heatmaps out. The one stage that needs torch."""
