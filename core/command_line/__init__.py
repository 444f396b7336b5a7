"""Programs made from domains and tasks. Nothing here imports torch until a command runs: `--help` answers at once."""
