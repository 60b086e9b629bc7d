"""Time-variable background: remove it, compare before and after."""
