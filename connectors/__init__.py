"""The edges: one module per outside system, with an in-memory twin for each."""
