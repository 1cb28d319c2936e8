"""How well messages flow in a window of time: its numbers, what is unusual in them, a score and what to do. Pure."""
