"""The department's side: programs beside a legacy database and its signing key; HTTP to the hub."""
