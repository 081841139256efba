"""How long a server is waited for that was told to stop."""

__all__ = ["CANCEL_GRACE"]

# Two seconds are promised from the stop button to the prompt: a timer fires late.
CANCEL_GRACE = 1.9  # seconds for a server to acknowledge a cancellation
