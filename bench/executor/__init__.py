"""What one executor process reports, and how long it keeps its own loop."""
