"""Agents: the runner that serves one definition, and the handlers of the shipped fleets."""
