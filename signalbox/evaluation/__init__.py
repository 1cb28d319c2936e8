"""How good decisions are: labelled messages through the very reducer that decides, and what came of it in figures."""
