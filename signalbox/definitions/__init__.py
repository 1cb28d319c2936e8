"""Agent definitions and fleets: their models, their loading from YAML with exact error places."""
