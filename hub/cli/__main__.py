"""`python -m hub.cli` is the `yimen` command."""

from hub.cli import main

main()
