"""Training on normal footage: a library call, `run.run(request, observer, stop)`.

- run: `TrainRequest`, the `Observer` that gets its messages, and the call itself
- run_files: the files of a run, and how it resumes and ends
- loop, trainer, options, loader, progress: one run, step by step
- selection: the strangest share of clips, which is left out
- validation: held-out clips and the synthetic anomalies in them
- distill: a narrow MNAD learns from a wide one

Nothing in here prints, exits the process or reads the command line. The stages never import it.
"""
