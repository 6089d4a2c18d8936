"""What every room shares: messages, settings, errors, logging, metrics."""
