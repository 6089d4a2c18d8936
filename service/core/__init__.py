"""The ground that every room shares: messages, settings, errors, logging, metrics."""
