"""What it costs a call to be counted, and to be traced."""
