"""The research fleet's agents: a planner, five specialists and a synthesizer. What no model wrote says so."""
