"""Runs of workflows in the reducer: each module one thing that can happen to a run; `going_on` is what it does of itself."""
