"""The stage `learning`: records normal footage of the cameras, and trains their own networks on it.

- footage: the recorded segments of one camera on the disk, and which of them stay
- recorder: frames of the bus to segments
- normality: the periods that are left out: alerts, scene changes, tampering
- sufficiency: whether what is recorded is enough
- recording_files: the files of a job that learns from a recording; recording: the process that
  reads it
- reports: lines of these processes
- training_files: the files of one job; trainer: its training, in a process of its own
- shadow: the process that compares old and new on live footage
- training: these processes as the stage sees them
- job: one job, from footage to promotion
- replay_job: a job that replays a recording; self_tests: anomalies made into frames
- drift_watch: whether the values of the cameras are still those that were learned
- worker: cameras by lease, their recorders and jobs

The stage imports no torch: the process that trains does.
"""
