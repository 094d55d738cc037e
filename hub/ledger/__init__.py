"""The transparency log: append, sequence, publish, prove, check."""
