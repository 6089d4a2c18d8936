"""Video files and decoded pictures. Needs neither torch nor a model."""
