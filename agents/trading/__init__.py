"""The trading fleet: agents that act on what they hear, and rest when an event says so."""
