"""From footage to checkpoints and tables: training, calibration, evaluation. Imported by the command line alone."""
