"""`pin`: the command line. Commands are imported when they are typed, so that it starts fast."""
