"""The HTTP gateway: messages in, what became of them out, and a person's hand on what waits."""
