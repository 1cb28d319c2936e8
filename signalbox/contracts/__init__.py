"""The records on the topics: frozen pydantic models, the ground truth of the JSON Schemas in `docs/schemas/`."""
