"""The alerting stage: follows scores, opens and closes alerts, keeps their pictures, delivers them.

`worker.run` is the entry point. No other stage imports this room.
"""
