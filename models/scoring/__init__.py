"""From a model's output to the score of a camera, live and offline."""
