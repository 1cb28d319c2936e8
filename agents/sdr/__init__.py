"""The SDR fleet: five agents that take a lead from a form to a sent mail."""
