"""What do the units of models prefer? `probe`, as a physiologist would."""
