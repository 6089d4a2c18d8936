"""`lookout serve`: Redis servers and stages as child processes."""
