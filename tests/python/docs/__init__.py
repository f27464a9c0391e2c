"""What reads the documentation, and runs what is in it."""
