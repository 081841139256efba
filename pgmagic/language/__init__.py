"""From what the user typed to what will be sent: pure, no I/O, no IPython."""
