"""Which worker owns which camera."""
