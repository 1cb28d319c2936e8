"""What-if replay, the pure part: what was recorded, what other definitions would decide instead, and the difference.

`cases` turns records into messages with the state they met, `judging` runs the reducer on one of them, `report` counts.
"""
