"""The API stage: REST, WebSocket, metrics and the page.

Only this room imports FastAPI, and it needs no torch. Other stages are reached through bus and
store alone.
"""
