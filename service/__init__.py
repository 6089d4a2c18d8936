"""The plumbing: cameras in, scores and alerts out."""
