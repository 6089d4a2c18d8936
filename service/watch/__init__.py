"""The state of each camera, and of the whole watch in one line.

It reads the reports of the stages. The API shows it, and alerting tells it to brokers.
"""
