"""Conversations as OpenTelemetry traces, made of what the topics say; nothing of it is in the way of a message."""
