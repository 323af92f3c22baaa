"""Makes recorded results anew, apart from everything, and compares them with what was recorded."""
