"""Workflows: steps in a declared order, filled in from earlier results. Pure, like `signalbox.routing`, whose reducer runs them."""
