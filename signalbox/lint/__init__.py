"""The linter of fleets: what is valid and still will not work, one idea a module. Pure: no broker, no model of its own."""
