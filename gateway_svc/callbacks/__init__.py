"""What channels tell us by themselves."""
