"""Every picture of this project, drawn from labelled datasets alone."""
