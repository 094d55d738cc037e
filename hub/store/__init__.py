"""Where bytes rest: tables, transactions, blobs, and what is sealed per person."""
