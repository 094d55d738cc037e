"""Where rows come from: one module for each kind of source, all of them behind `adapters.source.Source`."""
