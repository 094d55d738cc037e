"""An application being handled: open, gather, score."""
