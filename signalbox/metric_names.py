"""Every metric, declared once: name, kind and what it means when it moves."""

from __future__ import annotations

from typing import Final, Literal

MetricName = Literal[
    # Counter: messages the operator took from `agent_messages`, admitted or not.
    "signalbox.messages",
    # Counter: messages dropped because their id was seen before in the conversation.
    "signalbox.duplicates",
    # Counter: decisions written, one per message and slot.
    "signalbox.decisions",
    # Counter: dead letters written by the orchestrator.
    "signalbox.dead_letters",
    # Counter: tasks that agents got because they subscribe to a message.
    "signalbox.subscription_tasks",
    # Counter: subscribers whose filters fit and that got no task: their contract refuses the data, or a budget is spent.
    "signalbox.subscription_refusals",
    # Counter: filters that could not be answered, which is no match; the message's record in slot `subscription` says why.
    "signalbox.filter_failures",
    # Counter: events that paused or resumed an agent.
    "signalbox.pauses",
    # Counter: events the orchestrator published about runs of workflows and about agents.
    "signalbox.events",
    # Counter: events that nobody subscribes to, and that left nothing behind.
    "signalbox.events_unheard",
    # Counter: tasks that nobody acknowledged in time, of agents that promise to.
    "signalbox.tasks_unacknowledged",
    # Counter: tasks taken back from an agent that could not be reached, and decided again or failed.
    "signalbox.tasks_taken_back",
    # Counter: steps of workflows past their deadline, or whose agent could not be reached: each a failed attempt.
    "signalbox.stuck_steps",
    # Counter: model calls started; more than decisions by model means retries or repairs.
    "signalbox.model_calls",
    # Counter: model calls that failed; together with an open breaker it says the model is down.
    "signalbox.model_failures",
    # Level, a counter that also falls: model calls in flight; at the limit for long means the model is the bottleneck.
    "signalbox.model_in_flight",
    # Level: calls waiting for a slot; above the bound the operator slows its input.
    "signalbox.model_waiting",
    # Level, 0 or 1 a subtask: the model failed five times in a row; calls wait, one now and then tries whether it is back.
    "signalbox.model_breaker_open",
]

METRIC_GROUP: Final = "signalbox"
