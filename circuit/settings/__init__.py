"""What circuits and steps of learning can be set to: declared once, and nothing heavy loaded.

`declaration` says what a setting is. `learning`, `pull`, `learned_inverse` and `peers` hold the
records of them; `units`, `methods`, `losses` and `circuits` the names that library and options
share. Options, presets, checkpoints, summaries and TOML tables follow from the fields. Standard
library only, so that `--help` answers at once.
"""
