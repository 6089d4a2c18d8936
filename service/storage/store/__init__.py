"""The store: records that are on disk before a write returns, and never lost after that.

`store.Store` is what the stages use. Its subjects have a file each: `cameras`, `sessions`,
`snapshots`, `alerts` and `camera_events`.
"""
